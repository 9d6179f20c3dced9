/** Undo of writeBundle and create, from whatever state they or a crash left. */
import type { EffectContext } from '../../../ports/effect.ts';
import type { ContainerInput, DestroyInput } from '../../../ports/runtime.ts';
import type { ContainerId, SandboxId } from '../../../base/ids.ts';
import { fail } from '../../../base/fault.ts';
import { codeOf } from '../../../host/ffi/errno.ts';
import { readMountInfo } from '../../../host/mounts/mountinfo.ts';
import { processExists } from '../../../host/process/process-identity.ts';
import { scopeOf } from '../../../host/cgroups/slices.ts';
import { removeFile } from '../../../host/files/state-files.ts';
import { removeDirectory } from '../../../host/files/remove-tree.ts';
import { monitorIdentity } from '../monitor/monitor-process.ts';
import { cgroupOf, dropCgroup, emptyCgroup } from './cgroup.ts';
import { endProcess, killWorkers } from './kill.ts';
import { marksOf, ownGlobals, runRuntime } from './parts.ts';
import type { DriverParts, RuntimeAnswer, RuntimeRun } from './parts.ts';
import { readNote } from './record.ts';
import { dropRuntimeState, exists, hasRuntimeState, readRuntimeState } from './state.ts';
import { dropNotedState } from './foreign-state.ts';
import type { Handler } from '../handlers/handlers.ts';
import { deleteArgv, forceDeleteArgv, saysNoContainer } from './runc.ts';

/** The runtime's state of an ended container. No process is started when there is none. */
export async function deleteState(
  parts: DriverParts,
  input: ContainerInput,
  fx: EffectContext,
): Promise<void> {
  const handler = parts.table.resolve(input.handler);
  const attempted = `delete container ${input.id}`;
  if (!(await hasRuntimeState(handler.root, input.id))) return;
  const argv = deleteArgv({ path: handler.path, globals: ownGlobals(handler), id: input.id });
  const stage = `${handler.name} delete`;
  const answer = await runIfThere(parts, { argv, attempted, stage, subject: input.id, fx });
  // nobody else can do it any more, and its processes have ended
  if (answer === 'noProgram') return dropRuntimeState(handler.root, input.id);
  if (answer.ok) return dropNotedState(handler.root, input.id);
  if (!saysNoContainer(answer.problem)) {
    fail('outside', `${attempted}: ${stage}: ${answer.problem}`, { subject: input.id });
  }
}

/** Kills and removes all of a container, the exit file last: until then it can be observed and destroyed again. */
export async function destroy(parts: DriverParts, input: DestroyInput, fx: EffectContext): Promise<void> {
  const { layout } = parts;
  const { id } = input;
  const note = await readNote(layout, id);
  const handler = parts.table.resolve(note?.handler ?? input.handler);
  const cgroup = note?.cgroup ?? (await cgroupOf(parts, id));
  await endProcesses(parts, handler, input, cgroup, fx);
  await purgeState(parts, handler, id, fx);
  // a scope goes by itself, but not from the hierarchies of v1, of which systemd manages one
  if (cgroup !== undefined) await dropCgroup(parts, id, scopeOf(cgroup) ?? cgroup, fx);
  await removeTree(layout.containerDir(id), id);
  if (input.spec.restore !== undefined) await removeDirectory(layout.restoreDir(id));
  await forgetExit(parts, id);
}

/** As `runRuntime`; `noProgram` when the runtime was uninstalled, its containers must still go. */
async function runIfThere(parts: DriverParts, run: RuntimeRun): Promise<RuntimeAnswer | 'noProgram'> {
  try {
    return await runRuntime(parts, run);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
    parts.log.warn(
      { id: run.subject, program: run.argv[0] },
      `${run.stage}: the program is gone; its state is removed without it`,
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
  cgroup: string | undefined,
  fx: EffectContext,
): Promise<void> {
  const { layout } = parts;
  fx.note({ on: 'the end of the processes' });
  const monitor = await monitorIdentity(layout.monitorPidFile(id), marksOf(handler, id));
  const hasEnded = monitor === undefined && (await exists(layout.exitFile(id)));
  // an exit file without a monitor: nobody works for it any more; otherwise a cut-off create may be under way, and only
  // scans of all processes find what it left
  if (ended !== true && !hasEnded) await killWorkers(parts, handler, id, undefined);
  else if (monitor !== undefined) await endProcess(parts, id, monitor);
  const state = await readRuntimeState(handler.root, id);
  if (state !== undefined && processExists(state)) {
    fx.note({ on: 'the end of the processes', pid: state.pid });
    await endProcess(parts, id, state);
  }
  if (cgroup !== undefined) await emptyCgroup(parts, id, cgroup, fx.timeoutMs);
}

/** Removes what the runtime keeps of a container whose processes are gone, by its own hand where that works. */
export async function purgeState(
  parts: DriverParts,
  handler: Handler,
  id: ContainerId | SandboxId,
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
    // a forced delete is content with a directory that holds no state file, and leaves it
    if (!(await hasRuntimeState(handler.root, id))) return;
    parts.log.debug({ id, problem: answer.problem }, `${stage} left the state directory`);
  }
  // a state file cut short by a crash: the runtime refuses it for ever, and no process is left; or it was uninstalled
  await dropRuntimeState(handler.root, id);
}

/** Deletes a directory of ours; refuses when something is mounted below it, whose content would be deleted with it. */
export async function removeTree(path: string, id: string): Promise<void> {
  if (!(await exists(path))) return;
  const below = (await readMountInfo()).find(
    (mount) => mount.mountPoint === path || mount.mountPoint.startsWith(`${path}/`),
  );
  if (below !== undefined) {
    fail('outside', `remove directory ${path}: ${below.mountPoint} is mounted`, {
      subject: id,
      retryable: true,
    });
  }
  await removeDirectory(path);
}
