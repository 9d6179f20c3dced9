/**
 * Runs a shim's program: `start`, which leaves the shim running, and `delete`, which removes what a dead shim has
 * left.
 */
import { createHash } from 'node:crypto';
import { symlink, mkdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { EffectContext } from '../../../ports/effect.ts';
import type { SandboxId, SandboxOrContainerId } from '../../../base/ids.ts';
import { FaultError, fail, printable, toFault } from '../../../base/fault.ts';
import { monitorLimits, shimLimits } from '../bounds.ts';
import { DeleteResponseSchema } from '../../../gen/shim/task_pb.ts';
import { codeOf } from '../../../host/ffi/errno.ts';
import type { Layout } from '../../../host/sandbox/layout.ts';
import { runTool } from '../../../host/process/process-tool.ts';
import { decodeMessage } from '../../../ttrpc/protocol.ts';
import type { DriverParts } from '../container/parts.ts';
import { exists } from '../container/state.ts';
import type { Handler } from '../handlers/handlers.ts';
import { bootstrapParams, parseBootstrap, shimArgv, shimEnv } from './bootstrap.ts';
import type { ShimAddress, ShimCommand } from './bootstrap.ts';

/** Version of containerd that the daemon presents itself as; shims write it to their log. */
const SPOKEN_VERSION = '2.3.0';

/** containerd namespace of this instance: shims' runtimes keep the state of all instances in one place. */
export function shimNamespace(layout: Layout): string {
  return `troupe-${createHash('sha256').update(layout.state).digest('hex').slice(0, 12)}`;
}

/** The daemon's socket for events. It is in the command line of every shim of this instance and of no other. */
export function eventsSocket(layout: Layout): string {
  return join(layout.shimsDir, 'events.sock');
}

function shimCommand(layout: Layout, handler: Handler, id: SandboxOrContainerId): ShimCommand {
  return { program: handler.path, namespace: shimNamespace(layout), id, events: eventsSocket(layout) };
}

/**
 * Makes the bundle reachable under the container's id as well: `delete` expects a bundle of that name beside its
 * working directory (containerd keeps all bundles of a namespace in one directory).
 */
export async function linkBundle(bundleDir: string, id: SandboxOrContainerId): Promise<void> {
  await mkdir(bundleDir, { recursive: true, mode: 0o700 });
  await symlink(basename(bundleDir), join(dirname(bundleDir), id)).catch((error: unknown) => {
    if (codeOf(error) !== 'EEXIST') throw error;
  });
}

/** Starts the shim of a pod whose bundle is written. Throws `outside` with the shim's error output. */
export async function startShim(
  parts: DriverParts,
  handler: Handler,
  id: SandboxId,
  bundleDir: string,
  fx: EffectContext,
): Promise<ShimAddress> {
  const { layout, clock, toolPath } = parts;
  const command = shimCommand(layout, handler, id);
  const stage = `${handler.name} start`;
  const attempted = `start sandbox ${id}: ${stage}`;
  const argv = shimArgv(command, 'start');
  // a shim's socket name is a SHA-256 in hexadecimal
  const isShort = layout.shimsDir.length + 65 <= shimLimits.socketPathChars;
  fx.note({ on: stage, argv });
  const result = await runTool({
    argv,
    env: shimEnv(command, toolPath),
    // the shim would inherit the mark of helpers; an interrupted start is found by its command line instead
    isHelper: false,
    cwd: bundleDir,
    stdin: bootstrapParams(command, SPOKEN_VERSION, isShort ? layout.shimsDir : undefined),
    timeoutMs: fx.timeoutMs,
    signal: fx.signal,
    outputBytesMax: shimLimits.startOutputBytes,
    clock,
    onSpawn: (pid) => fx.note({ on: stage, argv, pid }),
  });
  if (result.timedOut)
    fail('timedOut', `${attempted}: killed after a timeout of ${fx.timeoutMs} ms`, { subject: id });
  if (result.exitCode !== 0)
    fail('outside', `${attempted}: exit code ${result.exitCode ?? -1}: ${saidBy(result.stderr)}`, {
      subject: id,
      quotesOutput: true,
    });
  try {
    return parseBootstrap(result.stdout);
  } catch (thrown) {
    throw new FaultError({ ...toFault(thrown, attempted), subject: id });
  }
}

/**
 * Removes what a dead shim has left of a container or sandbox. Returns the exit code, undefined if it is unknown.
 * Never rejects.
 */
export async function deleteDead(
  parts: DriverParts,
  handler: Handler,
  id: SandboxOrContainerId,
  bundleDir: string,
): Promise<number | undefined> {
  const { layout, clock, toolPath, log } = parts;
  if (!(await exists(join(bundleDir, 'config.json')))) return undefined;
  const command = shimCommand(layout, handler, id);
  try {
    const result = await runTool({
      argv: shimArgv(command, 'delete', bundleDir),
      env: shimEnv(command, toolPath),
      cwd: bundleDir,
      timeoutMs: shimLimits.deleteMs,
      outputBytesMax: shimLimits.startOutputBytes,
      clock,
    });
    if (result.exitCode === 0) return decodeMessage(DeleteResponseSchema, result.stdout).exitStatus;
    log.warn(
      { id, problem: `exit code ${result.exitCode ?? -1}: ${saidBy(result.stderr)}` },
      `${handler.name} delete failed`,
    );
  } catch (thrown) {
    log.warn({ id, fault: toFault(thrown) }, `${handler.name} delete failed`);
  }
  return undefined;
}

function saidBy(stderr: Uint8Array): string {
  return (
    printable(Buffer.from(stderr).toString('utf8').slice(-monitorLimits.quotedChars)) || 'no error message'
  );
}
