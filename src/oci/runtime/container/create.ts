/** Creates a container from its bundle: launches the monitor, which runs the runtime's create. */
import { join } from 'node:path';
import type { EffectContext } from '../../../ports/effect.ts';
import type { EffectiveContainer, ProcessIdentity } from '../../../ports/journal.ts';
import type { BundleInput, ContainerInput } from '../../../ports/runtime.ts';
import { fail, toFault } from '../../../base/fault.ts';
import { driverLimits, monitorLimits } from '../bounds.ts';
import { readSmallFile } from '../../../host/files/small-file.ts';
import { makeOwnDirectory } from '../../../host/files/state-files.ts';
import { surelyExists } from '../../../host/process/process-identity.ts';
import type { HostIdentity } from '../../../host/process/process-identity.ts';
import { createMonitorArgv, monitorEnv } from '../monitor/conmon.ts';
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
import { runtimeProgram } from './runtime-program.ts';
import type { RuntimeProgram } from './runtime-program.ts';
import { chownStdio } from './stdio-owner.ts';

/** Writes troupe.json, which the undo needs, then the bundle. */
export async function writeBundle(
  parts: DriverParts,
  input: BundleInput,
  fx: EffectContext,
): Promise<EffectiveContainer> {
  const handler = parts.table.resolve(input.handler);
  await writeNote(parts.layout, input.id, noteOf(input, handler.name));
  // a runtime that was replaced is probed, so that the profile is in the form that it understands
  const { shortSeccomp, isShortUnsure } = parts.table.probed(handler.name)?.result ?? {};
  if (handler.shortSeccomp !== false && (shortSeccomp === true || isShortUnsure === true))
    await parts.whyNotShort(handler);
  return parts.bundles.writeBundle(input, fx);
}

/** A restore from a checkpoint, which the monitor runs instead of a create. */
export interface Restore {
  /** Directory of CRIU's images. */
  readonly images: string;
  /** PATH of conmon and the runtime, with CRIU's directory in it. */
  readonly toolPath: string;
}

/**
 * Launches the monitor and returns the identity of init: waiting for start after a create, running after a restore.
 * On failure every process is killed.
 */
export async function create(
  parts: DriverParts,
  input: ContainerInput & { readonly effective: EffectiveContainer },
  fx: EffectContext,
  movesReady: Promise<void>,
  restore?: Restore,
): Promise<ProcessIdentity> {
  const { layout } = parts;
  const handler = parts.table.resolve(input.handler);
  const verb = restore === undefined ? 'create' : 'restore';
  const attempted = `${verb} container ${input.id}`;
  const [note, program] = await Promise.all([
    readNote(layout, input.id),
    restore === undefined ? programOf(parts, handler, input.id) : undefined,
  ]);
  if (note === undefined) fail('notFound', `${attempted}: bundle not found`, { subject: input.id });
  await Promise.all([handler.root, layout.exitsDir].map((directory) => makeOwnDirectory(directory, 0o700)));
  const path = program?.path ?? handler.path;
  const argv = monitorArgv(parts, { ...handler, path }, input, restore);
  const on = `${handler.name} ${verb}`;
  fx.note({ on, argv });
  let launched: Launched | undefined;
  try {
    launched = await launchMonitor({
      argv,
      env: monitorEnv(restore?.toolPath ?? parts.toolPath, true),
      // conmon writes its file `oom` to its working directory
      cwd: layout.bundleDir(input.id),
      // in the daemon's cgroup the monitor would end with the daemon, and its memory would count as the daemon's
      beforeStart: async (pid) => {
        await movesReady;
        const { limits = input.spec.resources } = input.effective;
        await admitMonitor(parts, note.monitorCgroup, pid, limits);
      },
      clock: parts.clock,
    });
    noteMonitor(parts, input.id, launched, (pid) => fx.note({ on, argv, pid }));
    const init = await awaitInit(parts, { launched, handler, input, stage: `${attempted}: ${on}`, fx });
    checkJoined(note, attempted);
    await program?.confirm();
    // a restored program runs already, with the owners that its pipes had
    if (restore === undefined) await chownStdio(init, layout.configJson(input.id), input.id);
    return toPortIdentity(init);
  } catch (error) {
    await killWorkers(parts, handler, input.id, note.cgroup);
    throw error;
  } finally {
    launched?.sync.close();
    launched?.stderr.close();
  }
}

/** A restore needs none of this: CRIU gives a process the filters that it had. */
async function programOf(
  parts: DriverParts,
  handler: Handler,
  id: ContainerInput['id'],
): Promise<RuntimeProgram> {
  const { stateFileUsualBytes: usualBytes, stateFileBytes: bytesMax } = driverLimits;
  const config = await readSmallFile(parts.layout.configJson(id), { usualBytes, bytesMax });
  return runtimeProgram(parts, handler, config ?? '', id);
}

/**
 * Throws `wrongState` when the process whose PID namespace the container joins has exited. The runtime opens
 * `/proc/<pid>/ns/pid` long after the pid was checked, when it may belong to another process, whose namespace the
 * container would then be in (S97). A process that is still alive has had the pid all along.
 */
function checkJoined({ joins }: ContainerNote, attempted: string): void {
  if (joins === undefined || surelyExists(joins)) return;
  fail('wrongState', `${attempted}: join the PID namespace of process ${joins.pid}: the process has exited`, {
    subject: String(joins.pid),
  });
}

/** Notes the pids that do the work: the process that was started and, once it has daemonized, its child. */
function noteMonitor(
  { layout, log }: DriverParts,
  id: ContainerInput['id'],
  { child }: Launched,
  note: (pid: number) => void,
): void {
  note(child.pid);
  const noteDaemonized = async (): Promise<void> => {
    await child.exited;
    // conmon writes the file before its first process exits
    const pid = await readPidFile(layout.monitorPidFile(id));
    if (pid !== undefined) note(pid);
  };
  noteDaemonized().catch((error: unknown) =>
    log.debug({ id, reason: toFault(error).message }, 'read pid of monitor failed'),
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
  const logBytesMax = parts.logBytesMax?.();
  return createMonitorArgv({
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
    ...(logBytesMax === undefined ? {} : { logBytesMax }),
    tty: spec.tty,
    stdin: spec.stdin,
    stdinOnce: spec.stdinOnce,
    ...(restore === undefined ? {} : { restore: { images: restore.images, options: restoreOptions(spec) } }),
  });
}

/** The options of the dump; the SELinux labels or AppArmor profile of the request replace those in the archive. */
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

interface InitWait {
  readonly launched: Launched;
  readonly handler: Handler;
  readonly input: ContainerInput;
  /** Such as `create container <id>: runc create`. */
  readonly stage: string;
  readonly fx: EffectContext;
}

async function awaitInit(parts: DriverParts, wait: InitWait): Promise<HostIdentity> {
  const { launched, handler, input, stage, fx } = wait;
  const answer = await launched.sync.next({ clock: parts.clock, timeoutMs: fx.timeoutMs, signal: fx.signal });
  const subject = { subject: input.id };
  const quoted = { ...subject, quotesOutput: true };
  if (answer === 'cancelled') fail('cancelled', `${stage}: cancelled while waiting for the monitor`, subject);
  if (answer === 'timedOut')
    fail('timedOut', `${stage}: timed out after ${fx.timeoutMs} ms waiting for the monitor`, subject);
  const tail = async (): Promise<string> => {
    const said = lastError(await readTail(runtimeLog(parts, input), monitorLimits.logTailBytes));
    return said || launched.stderr.text() || 'no error message';
  };
  if (answer === 'ended')
    return fail('outside', `${stage}: the monitor exited without a report: ${await tail()}`, quoted);
  const report = parseCreateReport(answer.line);
  if (report.kind === 'failed') fail('outside', `${stage}: ${report.message || (await tail())}`, quoted);
  if (report.kind === 'invalid')
    return fail('outside', `${stage}: invalid report of the monitor: ${report.reason}`, quoted);
  const identity = await liveIdentity(parts, report.value);
  if (identity === undefined)
    return fail('outside', `${stage}: process ${report.value} exited at once: ${await tail()}`, quoted);
  const state =
    (await readRuntimeState(handler.root, input.id)) ?? (await learnState(parts, handler, input.id, fx));
  // a pid that the runtime's state does not confirm is never signalled (F36)
  if (state === undefined || state.pid !== identity.pid || state.startTicks !== identity.startTicks) {
    return fail(
      'outside',
      `${stage}: the monitor reported process ${report.value}, which is not init in the runtime's state`,
      subject,
    );
  }
  return identity;
}
