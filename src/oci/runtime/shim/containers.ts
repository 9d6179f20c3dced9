/** The steps of a container in a pod's shim, each one call to the shim, and the files that the calls need. */
import { join } from 'node:path';
import { rm } from 'node:fs/promises';
import type { EffectContext } from '../../../ports/effect.ts';
import type { EffectiveContainer, ProcessIdentity } from '../../../ports/journal.ts';
import type { ContainerInput, DestroyInput } from '../../../ports/runtime.ts';
import type { Resources } from '../../../ports/specs.ts';
import type { ContainerId } from '../../../base/ids.ts';
import { fail, toFault } from '../../../base/fault.ts';
import { writeOwnFile } from '../../../host/files/state-files.ts';
import { shimLimits } from '../bounds.ts';
import { Status, Task } from '../../../gen/shim/task_pb.ts';
import { endCgroups, limitScopeOf } from '../container/cgroup.ts';
import { forgetExit, removeUnmountedTree } from '../container/destroy.ts';
import { killWorkers } from '../container/kill.ts';
import { liveIdentity, toPortIdentity } from '../container/parts.ts';
import type { DriverParts } from '../container/parts.ts';
import { cgroupsOfNote, readNote } from '../container/record.ts';
import type { ContainerNote } from '../container/record.ts';
import { exists } from '../container/state.ts';
import { refuseTooSmall, scopeLimits } from '../container/update.ts';
import type { Handler } from '../handlers/handlers.ts';
import { signalNumber } from '../spec/signals.ts';
import { deleteDead, linkBundle } from './launch.ts';
import { taskOptions } from './sandbox-task.ts';
import type { Shim } from './shim.ts';
import type { Shims } from './shims.ts';
import { makeStdio, startKeeper, stdioDir } from './stdio.ts';

const SIGKILL = 9;
/** containerd's type name of the resources document, whose value is JSON. */
const RESOURCES_TYPE = 'types.containerd.io/opencontainers/runtime-spec/1/LinuxResources';

export interface ShimParts {
  readonly parts: DriverParts;
  readonly shims: Shims;
  /** Path of the program of `writeStdioProgram`. */
  stdioProgram(): Promise<string>;
}

/**
 * Creates the container's task. The monitor of its streams starts first, so that no output is lost. On failure every
 * process is killed.
 */
export async function createTask(
  { parts, shims, stdioProgram }: ShimParts,
  handler: Handler,
  input: ContainerInput & { readonly effective: EffectiveContainer },
  fx: EffectContext,
): Promise<ProcessIdentity> {
  const { layout } = parts;
  const { id, spec } = input;
  const attempted = `create container ${id}`;
  const note = await noteOf(parts, id, attempted);
  const shim = await shims.need(note.sandboxId, attempted);
  const stdio = await makeStdio(stdioDir(parts, id), { stdin: spec.stdin, stdout: true, stderr: !spec.tty });
  await linkBundle(layout.bundleDir(id), id);
  try {
    await startKeeper(parts, { input, handler, note, program: await stdioProgram() }, fx);
    fx.note({ on: `${handler.name} create` });
    const bundle = layout.bundleDir(id);
    const { pid } = await shim.call(
      Task.method.create,
      { id, bundle, terminal: spec.tty, ...stdio, ...taskOptions(handler) },
      bound(fx),
    );
    const identity = await liveIdentity(parts, pid);
    return identity === undefined
      ? fail('outside', `${attempted}: process ${pid} exited at once`, { subject: id })
      : toPortIdentity(identity);
  } catch (error) {
    await removeTask(parts, shim, id, fx).catch((thrown: unknown) =>
      parts.log.warn({ id, fault: toFault(thrown) }, 'delete failed task of container failed'),
    );
    await killWorkers(parts, handler, id, note.cgroup);
    throw error;
  }
}

export async function startTask(
  { parts, shims }: ShimParts,
  handler: Handler,
  { id }: ContainerInput,
  fx: EffectContext,
): Promise<void> {
  const attempted = `start container ${id}`;
  const { sandboxId } = await noteOf(parts, id, attempted);
  const shim = await shims.need(sandboxId, attempted);
  fx.note({ on: `${handler.name} start` });
  await shim.call(Task.method.start, { id }, bound(fx));
}

/** Sends one signal to init; does nothing if it has exited. */
export async function killTask(
  { parts, shims }: ShimParts,
  { id, signal }: ContainerInput & { readonly signal: string },
  fx: EffectContext,
): Promise<void> {
  const number = signalNumber(signal);
  if (number === undefined)
    fail('invalidRequest', `signal container ${id}: unknown signal ${JSON.stringify(signal)}`, {
      subject: id,
    });
  const note = await readNote(parts.layout, id);
  const shim = note === undefined ? undefined : await shims.find(note.sandboxId);
  await shim?.callUnlessGone(Task.method.kill, { id, signal: number, all: false }, soon(fx));
}

/**
 * Sends SIGKILL to all processes of the container. Those left by a dead shim are killed by its watch. True if the task
 * was never started and has ended now: then its shim has no exit to report.
 */
export async function killTaskAll(
  { parts, shims }: ShimParts,
  { id }: ContainerInput,
  fx: EffectContext,
): Promise<boolean> {
  const note = await readNote(parts.layout, id);
  if (note === undefined) return false;
  const isOver = await shims.orKill(note.sandboxId, async (shim) => {
    await shim.callUnlessGone(Task.method.kill, { id, signal: SIGKILL, all: true }, soon(fx));
    return endUnstarted(parts, shim, id, fx);
  });
  return isOver === true;
}

/**
 * Ends a task that was killed before its start, where its shim has no process yet, as gVisor's. The kill leaves it in
 * the state created, and it is deleted; or (gVisor of 2026) stopped without a time, where Delete would wait for its
 * streams for ever: that task is left to the end of its shim. False for a task that was started, and for one whose
 * process (runc's init) is about to end.
 */
async function endUnstarted(
  { layout }: Pick<DriverParts, 'layout'>,
  shim: Shim,
  id: ContainerId,
  fx: EffectContext,
): Promise<boolean> {
  const call = soon(fx);
  const state = await shim.callUnlessGone(Task.method.state, { id }, call);
  if (state?.status === Status.STOPPED && (state.exitedAt?.seconds ?? 0n) <= 0n) {
    await writeOwnFile(undeletable(layout, id), '', 0o600);
    return true;
  }
  if (state?.status !== Status.CREATED) return false;
  try {
    return (await shim.callUnlessGone(Task.method.delete, { id }, call)) !== undefined;
  } catch {
    // refused while the process lives: its exit will be reported
    return false;
  }
}

/** Marker file, empty: the task was never started, and its shim would never answer its deletion. */
function undeletable(layout: DriverParts['layout'], id: ContainerId): string {
  return join(layout.containerDir(id), 'undeletable');
}

/** Deletes an exited task; its exit code was recorded before. */
export async function deleteTask(
  { parts, shims }: ShimParts,
  { id }: ContainerInput,
  fx: EffectContext,
): Promise<void> {
  const note = await readNote(parts.layout, id);
  if (note === undefined || (await exists(undeletable(parts.layout, id)))) return;
  const shim = await shims.find(note.sandboxId);
  await shim?.callUnlessGone(Task.method.delete, { id }, bound(fx));
}

export async function updateTask(
  { parts, shims }: ShimParts,
  handler: Handler,
  { id, resources, from }: ContainerInput & { readonly resources: Resources; readonly from: Resources },
  fx: EffectContext,
): Promise<void> {
  const attempted = `update container ${id}`;
  const note = await noteOf(parts, id, attempted);
  const document = parts.bundles.updateDocument(resources, from);
  await refuseTooSmall(parts, note.cgroup, resources.memoryLimitBytes, { attempted, subject: id });
  const shim = await shims.need(note.sandboxId, attempted);
  fx.note({ on: `${handler.name} update` });
  await shim.call(
    Task.method.update,
    { id, resources: { typeUrl: RESOURCES_TYPE, value: Buffer.from(document, 'utf8') } },
    bound(fx),
  );
  await limitScopeOf(parts, note.cgroup, scopeLimits(resources, from));
}

/** See `RuntimePort.destroy`. */
export async function destroyTask(
  { parts, shims }: ShimParts,
  handler: Handler,
  { id }: DestroyInput,
  fx: EffectContext,
): Promise<void> {
  const { layout } = parts;
  const note = await readNote(layout, id);
  fx.note({ on: 'the end of the processes' });
  const isRemoved =
    note === undefined
      ? undefined
      : (await exists(undeletable(layout, id))) ||
        (await shims.orKill(note.sandboxId, (shim) => removeTask(parts, shim, id, fx)));
  if (isRemoved !== true) await deleteDead(parts, handler, id, layout.bundleDir(id));
  await killWorkers(parts, handler, id, undefined);
  for (const cgroup of note === undefined ? [] : cgroupsOfNote(note, id))
    await endCgroups(parts, id, cgroup, fx);
  await rm(join(layout.containerDir(id), id), { force: true });
  await removeUnmountedTree(layout.containerDir(id), id);
  await forgetExit(parts, id);
}

/** Kills and deletes a task in any state. */
async function removeTask(parts: DriverParts, shim: Shim, id: ContainerId, fx: EffectContext): Promise<true> {
  const call = soon(fx);
  const killed = await shim.callUnlessGone(Task.method.kill, { id, signal: SIGKILL, all: true }, call);
  if (await endUnstarted(parts, shim, id, fx)) return true;
  // a deleted task has no exit to wait for
  if (killed !== undefined) await shim.callUnlessGone(Task.method.wait, { id }, call);
  await shim.callUnlessGone(Task.method.delete, { id }, call);
  return true;
}

async function noteOf(parts: DriverParts, id: ContainerId, attempted: string): Promise<ContainerNote> {
  return (
    (await readNote(parts.layout, id)) ?? fail('notFound', `${attempted}: bundle not found`, { subject: id })
  );
}

/**
 * For calls that a healthy shim answers quickly. Without the abort signal: they must complete even if the request is
 * cancelled.
 */
function soon(fx: EffectContext): { readonly timeoutMs: number } {
  return { timeoutMs: Math.min(fx.timeoutMs, shimLimits.endMs) };
}

function bound(fx: EffectContext): { readonly timeoutMs: number; readonly signal: AbortSignal } {
  return { timeoutMs: fx.timeoutMs, signal: fx.signal };
}
