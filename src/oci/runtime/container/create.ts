/** From a bundle to a process that waits for start: the monitor is launched and runs the runtime's create. */
import { join } from 'node:path';
import type { EffectContext } from '../../../ports/effect.ts';
import type { EffectiveContainer, ProcessIdentity } from '../../../ports/journal.ts';
import type { BundleInput, ContainerInput } from '../../../ports/runtime.ts';
import { fail, toFault } from '../../../base/fault.ts';
import { monitorLimits } from '../bounds.ts';
import { makeOwnDirectory } from '../../../host/files/state-files.ts';
import { processExists } from '../../../host/process/process-identity.ts';
import type { ProcessIdentity as HostIdentity } from '../../../host/process/process-identity.ts';
import { createArgv, monitorEnv } from '../monitor/conmon.ts';
import { launchMonitor } from '../monitor/launch.ts';
import type { Launched } from '../monitor/launch.ts';
import { readPidFile } from '../monitor/monitor-process.ts';
import { parseCreateReport } from '../monitor/sync-pipe.ts';
import { admitMonitor } from './cgroup.ts';
import { killWorkers } from './kill.ts';
import { liveIdentity, toPortIdentity } from './parts.ts';
import type { DriverParts } from './parts.ts';
import { noteOf, readNote, writeNote } from './record.ts';
import type { ContainerNote } from './record.ts';
import { readRuntimeState, readTail } from './state.ts';
import { learnState } from './foreign-state.ts';
import type { Handler } from '../handlers/handlers.ts';
import { globalArgs, lastError } from './runc.ts';
import { ownStdio } from './stdio-owner.ts';

/** Notes what undo needs, then has the bundle written. */
export async function writeBundle(
  parts: DriverParts,
  input: BundleInput,
  fx: EffectContext,
): Promise<EffectiveContainer> {
  const handler = parts.table.resolve(input.handler);
  await writeNote(parts.layout, input.id, noteOf(input, handler.name));
  return parts.bundles.writeBundle(input, fx);
}

/** What the monitor has the runtime restore, in the place of a create. */
export interface Restore {
  /** Directory of CRIU's images. */
  readonly images: string;
  /** PATH of conmon and the runtime, with CRIU's directory in it. */
  readonly toolPath: string;
}

/**
 * Launches the monitor and returns init once the runtime's create has succeeded, or its restore: then init runs. A failure
 * leaves no process.
 */
export async function create(
  parts: DriverParts,
  input: ContainerInput & { readonly effective: EffectiveContainer },
  fx: EffectContext,
  movesAreCheap: Promise<void>,
  restore?: Restore,
): Promise<ProcessIdentity> {
  const { layout } = parts;
  const handler = parts.table.resolve(input.handler);
  const verb = restore === undefined ? 'create' : 'restore';
  const attempted = `${verb} container ${input.id}`;
  const note = await readNote(layout, input.id);
  if (note === undefined)
    fail('notFound', `${attempted}: no bundle was written for it`, { subject: input.id });
  await Promise.all([handler.root, layout.exitsDir].map((directory) => makeOwnDirectory(directory, 0o700)));
  const argv = monitorArgv(parts, handler, input, restore);
  const on = `${handler.name} ${verb}`;
  fx.note({ on, argv });
  let launched: Launched | undefined;
  try {
    launched = await launchMonitor({
      argv,
      env: monitorEnv(restore?.toolPath ?? parts.toolPath, true),
      // conmon writes its oom file where it stands
      cwd: layout.bundleDir(input.id),
      // the monitor must not die with the daemon's cgroup, nor its memory count to the daemon's
      beforeStart: async (pid) => {
        await movesAreCheap;
        await admitMonitor(parts, note.monitorCgroup, pid);
      },
      clock: parts.clock,
    });
    noteMonitor(parts, input.id, launched, (pid) => fx.note({ on, argv, pid }));
    const init = await hearInit(parts, { launched, handler, input, stage: `${attempted}: ${on}`, fx });
    checkJoined(note, attempted);
    // a restored program runs already, and has them as they were
    if (restore === undefined) await ownStdio(init, layout.configJson(input.id), input.id);
    return toPortIdentity(init);
  } catch (error) {
    await killWorkers(parts, handler, input.id, note.cgroup);
    throw error;
  } finally {
    launched?.sync.close();
    launched?.complaint.close();
  }
}

/**
 * The runtime opens `/proc/<pid>/ns/pid` long after the pid was checked, and by then it may be another's, whose namespace the
 * container would be in (S97). A process that still runs has had its pid all the time. Throws `wrongState`.
 */
function checkJoined({ joins }: ContainerNote, attempted: string): void {
  if (joins === undefined || processExists(joins)) return;
  fail('wrongState', `${attempted}: join the PID namespace of process ${joins.pid}: it has ended`, {
    subject: String(joins.pid),
  });
}

/** Who works on it: the process that was started, and after it has put itself into the background the one that goes on. */
function noteMonitor(
  { layout, log }: DriverParts,
  id: ContainerInput['id'],
  { child }: Launched,
  note: (pid: number) => void,
): void {
  note(child.pid);
  const look = async (): Promise<void> => {
    await child.exited;
    // conmon writes the file before its first process ends
    const pid = await readPidFile(layout.monitorPidFile(id));
    if (pid !== undefined) note(pid);
  };
  look().catch((error: unknown) =>
    log.debug({ id, reason: toFault(error).message }, 'the monitor could not be named'),
  );
}

function monitorArgv(
  parts: DriverParts,
  handler: Handler,
  input: ContainerInput & { readonly effective: EffectiveContainer },
  restore: Restore | undefined,
): string[] {
  const { layout } = parts;
  const { spec } = input;
  return createArgv({
    monitorPath: handler.monitorPath ?? parts.monitorPath,
    noPivot: handler.noPivot ?? false,
    runtimePath: handler.path,
    runtimeArgs: globalArgs(handler.root, runtimeLog(parts, input), handler.options),
    id: input.id,
    bundleDir: layout.bundleDir(input.id),
    pidFile: layout.pidFile(input.id),
    monitorPidFile: layout.monitorPidFile(input.id),
    exitsDir: layout.exitsDir,
    logPath: input.effective.logPath,
    ...(parts.logBytesMax === undefined ? {} : { logBytesMax: parts.logBytesMax }),
    tty: spec.tty,
    stdin: spec.stdin,
    stdinOnce: spec.stdinOnce,
    ...(restore === undefined ? {} : { restore: { images: restore.images, options: restoreOptions(spec) } }),
  });
}

/** As the dump was asked for; and the request's labels in the place of those that the archive tells. */
function restoreOptions({
  selinuxLabels,
  security: { apparmorProfile },
}: ContainerInput['spec']): readonly string[] {
  if (selinuxLabels !== undefined)
    return [
      '--file-locks',
      `--lsm-profile=selinux:${selinuxLabels.process}`,
      `--lsm-mount-context=${selinuxLabels.mount}`,
    ];
  return ['--file-locks', ...(apparmorProfile === '' ? [] : [`--lsm-profile=apparmor:${apparmorProfile}`])];
}

function runtimeLog(parts: DriverParts, input: ContainerInput): string {
  return join(parts.layout.containerDir(input.id), 'runtime.log');
}

interface Hearing {
  readonly launched: Launched;
  readonly handler: Handler;
  readonly input: ContainerInput;
  /** Such as `create container <id>: runc create`. */
  readonly stage: string;
  readonly fx: EffectContext;
}

async function hearInit(parts: DriverParts, hearing: Hearing): Promise<HostIdentity> {
  const { launched, handler, input, stage, fx } = hearing;
  const answer = await launched.sync.next({ clock: parts.clock, timeoutMs: fx.timeoutMs, signal: fx.signal });
  const subject = { subject: input.id };
  if (answer === 'cancelled') fail('cancelled', `${stage}: the result is no longer wanted`, subject);
  if (answer === 'timedOut')
    fail('timedOut', `${stage}: the monitor has not reported within ${fx.timeoutMs} ms`, subject);
  const tail = async (): Promise<string> => {
    const said = lastError(await readTail(runtimeLog(parts, input), monitorLimits.logTailBytes));
    return said || launched.complaint.text() || 'no error message';
  };
  if (answer === 'ended')
    return fail('outside', `${stage}: the monitor ended without a report: ${await tail()}`, subject);
  const report = parseCreateReport(answer.line);
  if (report.kind === 'failed') fail('outside', `${stage}: ${report.message || (await tail())}`, subject);
  if (report.kind === 'garbage')
    return fail('outside', `${stage}: the monitor's report can't be used: ${report.reason}`, subject);
  const identity = liveIdentity(report.value);
  if (identity === undefined)
    return fail(
      'outside',
      `${stage}: its process ${report.value} has ended at once: ${await tail()}`,
      subject,
    );
  const state =
    (await readRuntimeState(handler.root, input.id)) ?? (await learnState(parts, handler, input.id, fx));
  // a pid that the runtime itself does not know is never signalled (F36)
  if (state === undefined || state.pid !== identity.pid || state.startTicks !== identity.startTicks) {
    return fail(
      'outside',
      `${stage}: the monitor reports process ${report.value}, which the runtime does not know`,
      subject,
    );
  }
  return identity;
}
