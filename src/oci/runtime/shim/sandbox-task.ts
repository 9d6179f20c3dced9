/**
 * A pod's shim with the sandbox as its first task. It takes the place of the pause process, whatever the pod's
 * namespaces are.
 */
import { mkdir, rm, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { EffectContext } from '../../../ports/effect.ts';
import type { ProcessIdentity } from '../../../ports/journal.ts';
import type { PauseInput } from '../../../ports/runtime.ts';
import type { ContainerId, SandboxId } from '../../../base/ids.ts';
import { fail, toFault } from '../../../base/fault.ts';
import { shimLimits } from '../bounds.ts';
import { OptionsSchema } from '../../../gen/shim/options_pb.ts';
import { Task } from '../../../gen/shim/task_pb.ts';
import { scopeOf } from '../../../host/cgroups/slices.ts';
import { codeOf } from '../../../host/ffi/errno.ts';
import { monitorCgroup, pauseCgroup } from '../../../host/sandbox/layout.ts';
import { identityAtOnce, processExists } from '../../../host/process/process-identity.ts';
import { listStatuses } from '../../../host/process/process-status.ts';
import type { HostIdentity } from '../../../host/process/process-identity.ts';
import { killTree } from '../../../host/process/process-kill.ts';
import { isOfHost } from '../../../host/process/process-owner.ts';
import { encodeMessage } from '../../../ttrpc/protocol.ts';
import { poll } from '../../../host/clock/wait.ts';
import { commandLine } from '../../../host/process/command-line.ts';
import { admitMonitor, endCgroups } from '../container/cgroup.ts';
import { removeUnmountedTree } from '../container/destroy.ts';
import { liveIdentity, toPortIdentity } from '../container/parts.ts';
import type { DriverParts } from '../container/parts.ts';
import { exists } from '../container/state.ts';
import type { Handler } from '../handlers/handlers.ts';
import { deleteDead, eventsSocket, linkBundle, startShim } from './launch.ts';
import { readShimRecord, removeShimRecord, writeShimRecord } from './record.ts';
import type { ShimRecord } from './record.ts';
import type { Shim } from './shim.ts';
import { makeLogFifo } from './shim-log.ts';
import type { Shims } from './shims.ts';
import { storedVersions } from '../../../base/stored-versions.ts';

const SIGKILL = 9;

/** Options that name the shim's own configuration file, if one is configured. */
export function taskOptions(handler: Handler): {
  readonly options?: { readonly typeUrl: string; readonly value: Uint8Array };
} {
  if (handler.configPath === undefined) return {};
  return {
    options: {
      typeUrl: OptionsSchema.typeName,
      value: encodeMessage(OptionsSchema, { configPath: handler.configPath }),
    },
  };
}

/** Starts the shim and its sandbox task; keeps one that is already running. On failure nothing is left. */
export async function startSandboxTask(
  parts: DriverParts,
  shims: Shims,
  handler: Handler,
  input: PauseInput,
  fx: EffectContext,
): Promise<ProcessIdentity> {
  const { layout } = parts;
  const { id } = input;
  const running = await runningTask(parts, id);
  if (running !== undefined) return running;
  await destroySandboxTask(parts, shims, handler, input, fx);
  const bundleDir = layout.pauseBundleDir(id);
  try {
    await mkdir(layout.shimsDir, { recursive: true, mode: 0o700 });
    await parts.bundles.writePauseBundle(input, fx);
    await linkBundle(bundleDir, id);
    makeLogFifo(join(bundleDir, 'log'));
    const address = await startShim(parts, handler, id, bundleDir, fx);
    const shim = await shims.connect(id, address);
    const { shimPid } = await shim.call(Task.method.connect, { id }, bound(fx));
    const identity = await shimProcess(parts, id, shimPid);
    const record: ShimRecord = {
      version: storedVersions.shimRecord,
      handler: handler.name,
      ...address,
      shim: identity,
      task: undefined,
    };
    await writeShimRecord(layout, id, record);
    await admitMonitor(parts, shimCgroupOf(input), identity.pid);
    const task = await createAndStart({ parts, shim, handler, id, bundleDir }, fx);
    await writeShimRecord(layout, id, { ...record, task });
    return toPortIdentity(task);
  } catch (error) {
    await destroySandboxTask(parts, shims, handler, input, fx);
    throw error;
  }
}

/** This cgroup holds the pod's monitors; under cgroupfs they share it, under systemd each has a scope. */
function shimCgroupOf({ id, sandbox }: PauseInput): string {
  return monitorCgroup(sandbox.cgroupParent, id, id as string as ContainerId);
}

interface StartingTask {
  readonly parts: DriverParts;
  readonly shim: Shim;
  readonly handler: Handler;
  readonly id: SandboxId;
  readonly bundleDir: string;
}

async function createAndStart(
  { parts, shim, handler, id, bundleDir }: StartingTask,
  fx: EffectContext,
): Promise<HostIdentity> {
  fx.note({ on: `${handler.name}: creation of the sandbox` });
  const { pid } = await shim.call(
    Task.method.create,
    { id, bundle: bundleDir, ...taskOptions(handler) },
    bound(fx),
  );
  fx.note({ on: `${handler.name}: start of the sandbox`, pid });
  const started = await shim.call(Task.method.start, { id }, bound(fx));
  return (
    (await liveIdentity(parts, started.pid || pid)) ??
    fail('outside', `start sandbox ${id}: process ${pid} exited at once`, { subject: id })
  );
}

/** Verifies that the pid named by the shim is a shim of this pod, since it will be signalled later. */
async function shimProcess(parts: DriverParts, id: SandboxId, pid: number): Promise<HostIdentity> {
  const identity = await liveIdentity(parts, pid);
  if (identity === undefined || !isShimOf(parts, id, pid)) {
    return fail(
      'outside',
      `start sandbox ${id}: the shim reported pid ${pid}, which is not a shim of this sandbox`,
      { subject: id },
    );
  }
  return identity;
}

/**
 * The id and the events socket are both in the command line of every shim of this pod. No other process of the host
 * has a reason to name both, and a container's process is refused.
 */
function isShimOf({ layout }: DriverParts, id: SandboxId, pid: number): boolean {
  const argv = commandLine(pid);
  return argv.includes(id) && argv.includes(eventsSocket(layout)) && isOfHost(pid);
}

function bound(fx: EffectContext): { readonly timeoutMs: number; readonly signal: AbortSignal } {
  return { timeoutMs: fx.timeoutMs, signal: fx.signal };
}

/** The sandbox's process, if it and its shim are alive. */
export async function runningTask(
  { layout }: DriverParts,
  id: SandboxId,
): Promise<ProcessIdentity | undefined> {
  const record = await readShimRecord(layout, id);
  if (record?.task === undefined || !processExists(record.shim) || !processExists(record.task))
    return undefined;
  return toPortIdentity(record.task);
}

/**
 * Ends the sandbox and its shim and removes what is left of both, from any state that a start or a crash has left.
 * Idempotent.
 */
export async function destroySandboxTask(
  parts: DriverParts,
  shims: Shims,
  handler: Handler,
  input: PauseInput,
  fx: EffectContext,
): Promise<void> {
  const { layout } = parts;
  const { id } = input;
  const bundleDir = layout.pauseBundleDir(id);
  const record = await readShimRecord(layout, id);
  if (record === undefined && !(await exists(bundleDir))) return;
  fx.note({ on: 'the end of the sandbox' });
  const hasEnded = record !== undefined && (await endPolitely(parts, shims, id, record, fx));
  // a shim whose record a crash prevented is found by its command line
  for (const left of await shimsOf(parts, id)) await killTree(left, parts.clock);
  if (!hasEnded) await deleteDead(parts, handler, id, bundleDir);
  if (record?.task !== undefined && processExists(record.task)) await killTree(record.task, parts.clock);
  await endCgroups(parts, id, pauseCgroup(input.sandbox.cgroupParent, id), fx);
  // below a slice the shim has a scope of its own, with what it has started; else the sandbox's cgroup has both
  const shimCgroup = shimCgroupOf(input);
  if (scopeOf(shimCgroup) !== undefined) await endCgroups(parts, id, shimCgroup, fx);
  if (record !== undefined) await removeSocket(record.path);
  await removeShimRecord(layout, id);
  await rm(join(dirname(bundleDir), id), { force: true });
  await removeUnmountedTree(bundleDir, id);
}

/** True if the shim has exited by itself after its task was deleted. */
async function endPolitely(
  parts: DriverParts,
  shims: Shims,
  id: SandboxId,
  record: ShimRecord,
  fx: EffectContext,
): Promise<boolean> {
  const call = { timeoutMs: Math.min(fx.timeoutMs, shimLimits.endMs), signal: fx.signal };
  try {
    const shim = await shims.find(id);
    if (shim === undefined) return false;
    await shim.callUnlessGone(Task.method.kill, { id, signal: SIGKILL, all: true }, call);
    await shim.callUnlessGone(Task.method.wait, { id }, call);
    await shim.callUnlessGone(Task.method.delete, { id }, call);
    // the shim may exit before it answers
    await shim.callUnlessGone(Task.method.shutdown, { id, now: true }, call).catch(() => undefined);
    const wait = {
      clock: parts.clock,
      timeoutMs: shimLimits.endMs,
      firstMs: shimLimits.flushPollMs,
      lastMs: shimLimits.retryLastMs,
    };
    const gone = await poll({ ...wait, attempted: `end the shim of sandbox ${id}` }, () =>
      processExists(record.shim) ? undefined : true,
    );
    return gone === true;
  } catch (thrown) {
    parts.log.warn({ id, fault: toFault(thrown) }, 'shut down shim failed; it is killed');
    return false;
  }
}

async function shimsOf(parts: DriverParts, id: SandboxId): Promise<HostIdentity[]> {
  const statuses = await listStatuses();
  return statuses.flatMap((status) => {
    // of a container's process the memory is not read: it could hold this thread up
    if (!status.isInOwnPids || !isShimOf(parts, id, status.pid)) return [];
    const identity = identityAtOnce(status.pid);
    return identity !== undefined && isShimOf(parts, id, identity.pid) && processExists(identity)
      ? [identity]
      : [];
  });
}

async function removeSocket(path: string): Promise<void> {
  if (path.startsWith('\0')) return;
  await unlink(path).catch((error: unknown) => {
    if (codeOf(error) !== 'ENOENT') throw error;
  });
}
