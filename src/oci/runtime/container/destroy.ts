/** Undoes writeBundle and create, from any state that they or a crash have left. */
import { join } from 'node:path';
import type { EffectContext } from '../../../ports/effect.ts';
import type { ContainerInput, DestroyInput } from '../../../ports/runtime.ts';
import type { ContainerId, SandboxOrContainerId } from '../../../base/ids.ts';
import { fail } from '../../../base/fault.ts';
import { codeOf, missingAs } from '../../../host/ffi/errno.ts';
import { isMountRoot } from '../../../host/files/directory-entries.ts';
import { processExists } from '../../../host/process/process-identity.ts';
import { removedAtOnce } from '../../../host/cgroups/cgroups.ts';
import { scopeOf } from '../../../host/cgroups/slices.ts';
import { isInMemory, readOwnDirectory, removeFile } from '../../../host/files/state-files.ts';
import { removeDirectory } from '../../../host/files/remove-tree.ts';
import { monitorIdentity } from '../monitor/monitor-process.ts';
import { cgroupOf, emptyCgroup, endCgroups } from './cgroup.ts';
import { endProcess, killWorkers } from './kill.ts';
import { marksOf, ownGlobals, runRuntime } from './parts.ts';
import type { DriverParts, RuntimeAnswer, RuntimeRun } from './parts.ts';
import { readNote } from './record.ts';
import { dropRuntimeState, exists, hasRuntimeState, readRuntimeState } from './state.ts';
import { dropNotedState } from './foreign-state.ts';
import type { Handler } from '../handlers/handlers.ts';
import { deleteByHand } from './shortcuts.ts';
import { deleteArgv, forceDeleteArgv, saysNoContainer } from './runc.ts';

/** Deletes the runtime's state of an exited container. Starts no process if there is no state. */
export async function deleteState(
  parts: DriverParts,
  input: ContainerInput,
  fx: EffectContext,
): Promise<void> {
  const handler = parts.table.resolve(input.handler);
  const attempted = `delete container ${input.id}`;
  if (!(await hasRuntimeState(handler.root, input.id))) return;
  if (await deleteByHand(parts, handler, input.id)) return;
  const argv = deleteArgv({ path: handler.path, globals: ownGlobals(handler), id: input.id });
  const stage = `${handler.name} delete`;
  const answer = await runIfThere(parts, { argv, attempted, stage, subject: input.id, fx });
  // the program was uninstalled; the container's processes have exited, so its state can be removed directly
  if (answer === 'noProgram') return dropRuntimeState(handler.root, input.id);
  if (answer.ok) return dropNotedState(handler.root, input.id);
  if (!saysNoContainer(answer.problem)) {
    fail('outside', `${attempted}: ${stage}: ${answer.problem}`, { subject: input.id, quotesOutput: true });
  }
}

/**
 * Kills the container's processes and removes all its files. The exit file goes last: until then the container can be
 * observed and destroyed again.
 */
export async function destroy(parts: DriverParts, input: DestroyInput, fx: EffectContext): Promise<void> {
  const { layout } = parts;
  const { id } = input;
  const note = await readNote(layout, id);
  const handler = parts.table.resolve(note?.handler ?? input.handler);
  const cgroup = note?.cgroup ?? (await cgroupOf(parts, id));
  await endProcesses(parts, handler, input, fx);
  // the kernel removes a cgroup without processes only: usually nothing has to be killed
  const isRemoved =
    cgroup === undefined || parts.removedCgroups.take(cgroup) || (await removedAtOnce(parts.cgroups, cgroup));
  if (!isRemoved) await emptyCgroup(parts, id, cgroup, fx.timeoutMs);
  await purgeState(parts, handler, id, fx);
  // systemd removes an empty scope, but on v1 only from the hierarchy that it manages
  if (cgroup !== undefined && (!isRemoved || scopeOf(cgroup) !== undefined))
    await endCgroups(parts, id, cgroup, fx);
  await removeUnmountedTree(layout.containerDir(id), id);
  if (input.spec.restore !== undefined) await removeDirectory(layout.restoreDir(id));
  await forgetExit(parts, id);
}

/** See `runRuntime`. `noProgram` when the runtime was uninstalled: its containers must be removable all the same. */
async function runIfThere(parts: DriverParts, run: RuntimeRun): Promise<RuntimeAnswer | 'noProgram'> {
  try {
    return await runRuntime(parts, run);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
    parts.log.warn(
      { id: run.subject, program: run.argv[0] },
      `${run.stage}: program not found; its state is removed without it`,
    );
    return 'noProgram';
  }
}

/** Deletes the exit file. */
export async function forgetExit(parts: DriverParts, id: ContainerId): Promise<void> {
  await removeFile(parts.layout.exitFile(id));
}

async function endProcesses(
  parts: DriverParts,
  handler: Handler,
  { id, ended }: DestroyInput,
  fx: EffectContext,
): Promise<void> {
  const { layout } = parts;
  fx.note({ on: 'the end of the processes' });
  const monitor = await monitorIdentity(layout.monitorPidFile(id), marksOf(handler, id), parts.clock);
  const hasEnded = monitor === undefined && (await exists(layout.exitFile(id)));
  // An exit file and no monitor: nothing works for the container any more. Otherwise an interrupted create may still
  // run, and only scans of all processes find what it left.
  if (ended !== true && !hasEnded) await killWorkers(parts, handler, id, undefined);
  else if (monitor !== undefined) await endProcess(parts, id, monitor);
  const state = await readRuntimeState(handler.root, id);
  if (state !== undefined && processExists(state)) {
    fx.note({ on: 'the end of the processes', pid: state.pid });
    await endProcess(parts, id, state);
  }
}

/**
 * Removes the runtime's state of a container whose processes have exited, by the runtime's own delete where that
 * works.
 */
export async function purgeState(
  parts: DriverParts,
  handler: Handler,
  id: SandboxOrContainerId,
  fx: EffectContext,
): Promise<void> {
  if (!(await hasRuntimeState(handler.root, id))) return;
  const call = { path: handler.path, globals: ownGlobals(handler), id };
  const attempted = `delete the runtime's state of ${id}`;
  for (const [stage, argv] of [
    [`${handler.name} delete`, deleteArgv(call)],
    [`${handler.name} delete --force`, forceDeleteArgv(call)],
  ] as const) {
    const answer = await runIfThere(parts, { argv, attempted, stage, subject: id, fx });
    if (answer === 'noProgram') break;
    if (answer.ok) await dropNotedState(handler.root, id);
    // runc delete --force succeeds on a directory without a state file, but leaves it
    if (!(await hasRuntimeState(handler.root, id))) return;
    parts.log.debug({ id, problem: answer.problem }, `${stage}: the state directory is still there`);
  }
  // the runtime was uninstalled, or a crash left an incomplete state file, which it refuses for ever; no process is
  // left
  await dropRuntimeState(handler.root, id);
}

/**
 * Deletes a directory of ours. Refuses while something is mounted below it, since the mount's content would be
 * deleted too.
 */
export async function removeUnmountedTree(path: string, id: string): Promise<void> {
  if (!(await exists(path))) return;
  const below = await firstMount(path);
  if (below !== undefined) {
    fail('outside', `remove directory ${path}: ${below} is still mounted`, {
      subject: id,
      retryable: true,
    });
  }
  await removeDirectory(path);
}

/** The first mount at the path or below it. Each entry is checked: the table of all mounts grows with the pods. */
async function firstMount(path: string): Promise<string | undefined> {
  if (await isMounted(path)) return path;
  for (const entry of (await readOwnDirectory(path)) ?? []) {
    const child = join(path, entry.name);
    const below = entry.isDirectory() ? await firstMount(child) : undefined;
    if (below !== undefined) return below;
    if (!entry.isDirectory() && (await isMounted(child))) return child;
  }
  return undefined;
}

function isMounted(path: string): Promise<boolean> {
  return missingAs(isMountRoot(Buffer.from(path), isInMemory(path)), false);
}
