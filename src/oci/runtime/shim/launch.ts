/** Runs a shim's program: `start`, which leaves the shim behind, and `delete`, which takes away what a dead one has left. */
import { createHash } from 'node:crypto';
import { symlink, mkdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { EffectContext } from '../../../ports/effect.ts';
import type { ContainerId, SandboxId } from '../../../base/ids.ts';
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

/** Of containerd's API that we speak as; shims write it into their log. */
const SPOKEN_VERSION = '2.3.0';

/** Of all that this instance has in shims: their runtimes keep it in one place for all instances. */
export function shimNamespace(layout: Layout): string {
  return `troupe-${createHash('sha256').update(layout.state).digest('hex').slice(0, 12)}`;
}

/** Our socket for events; in the command line of each shim of ours, and of no other. */
export function eventsSocket(layout: Layout): string {
  return join(layout.shimsDir, 'events.sock');
}

export function shimCommand(layout: Layout, handler: Handler, id: ContainerId | SandboxId): ShimCommand {
  return { program: handler.path, namespace: shimNamespace(layout), id, events: eventsSocket(layout) };
}

/**
 * Makes the bundle reachable under the id as well: `delete` looks for a bundle of that name beside the one that it stands
 * in (containerd keeps all of a namespace's in one directory).
 */
export async function linkBundle(bundleDir: string, id: ContainerId | SandboxId): Promise<void> {
  await mkdir(bundleDir, { recursive: true, mode: 0o700 });
  await symlink(basename(bundleDir), join(dirname(bundleDir), id)).catch((error: unknown) => {
    if (codeOf(error) !== 'EEXIST') throw error;
  });
}

/** Starts the shim of a pod; its bundle is written. Throws `outside` with what it said. */
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
  // a SHA-256 in hexadecimal is what shims call it
  const isShort = layout.shimsDir.length + 65 <= shimLimits.socketPathChars;
  fx.note({ on: stage, argv });
  const result = await runTool({
    argv,
    env: shimEnv(command, toolPath),
    // the shim would inherit the mark; a start that was cut off is found by its command line
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
    fail('timedOut', `${attempted}: killed, it had not ended within ${fx.timeoutMs} ms`, { subject: id });
  if (result.exitCode !== 0)
    fail('outside', `${attempted}: exit code ${result.exitCode ?? -1}: ${saidBy(result.stderr)}`, {
      subject: id,
    });
  try {
    return parseBootstrap(result.stdout);
  } catch (thrown) {
    throw new FaultError({ ...toFault(thrown, attempted), subject: id });
  }
}

/** What a dead shim has left of a container or sandbox; the exit code that it tells, undefined where it can't. Never rejects. */
export async function deleteDead(
  parts: DriverParts,
  handler: Handler,
  id: ContainerId | SandboxId,
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
    log.warn({ id, fault: toFault(thrown) }, `${handler.name} delete could not be run`);
  }
  return undefined;
}

function saidBy(stderr: Uint8Array): string {
  return (
    printable(Buffer.from(stderr).toString('utf8').slice(-monitorLimits.quotedChars)) || 'no error message'
  );
}
