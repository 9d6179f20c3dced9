/** What all parts of the runtime driver share: options, handlers, and calls of the runtime's program. */
import type { ClockPort } from '../../../ports/clock.ts';
import type { EffectContext } from '../../../ports/effect.ts';
import type { EffectiveContainer, ProcessIdentity } from '../../../ports/journal.ts';
import type { BundleInput, PauseInput } from '../../../ports/runtime.ts';
import type { Resources } from '../../../ports/specs.ts';
import type { SandboxOrContainerId } from '../../../base/ids.ts';
import { fail, printable } from '../../../base/fault.ts';
import { driverLimits, monitorLimits } from '../bounds.ts';
import type { Log } from '../../../base/log.ts';
import type { CgroupLayout } from '../../../host/kernel-thread/thread-protocol.ts';
import type { WarmCgroupMoves } from '../../../host/tuning/warm-cgroup-moves.ts';
import type { Conditions } from '../../../base/conditions.ts';
import type { Layout } from '../../../host/sandbox/layout.ts';
import { bootId } from '../../../host/files/boot-id.ts';
import type { HostIdentity } from '../../../host/process/process-identity.ts';
import { processExists, processRuns, statAtOnce } from '../../../host/process/process-identity.ts';
import { poll } from '../../../host/clock/wait.ts';
import { runTool } from '../../../host/process/process-tool.ts';
import type { Systemd } from '../../../host/cgroups/systemd.ts';
import type { Marks } from '../monitor/monitor-process.ts';
import type { Handler, HandlerConfig, HandlerTable } from '../handlers/handlers.ts';
import type { RemovedCgroups } from './removed-cgroups.ts';
import { lastError, rootArg } from './runc.ts';

/** Writes bundles: the spec generator with what it knows of the host. */
export interface BundleWriter {
  /** Writes `layout.bundleDir(id)` with config.json. */
  writeBundle(input: BundleInput, fx: EffectContext): Promise<EffectiveContainer>;
  /** Writes `layout.pauseBundleDir(id)` with config.json. */
  writePauseBundle(input: PauseInput, fx: EffectContext): Promise<void>;
  /** JSON for the runtime's `update`: the limits to be set, given those that are in force. */
  updateDocument(resources: Resources, from: Resources): string;
}

export interface RuntimeDriverOptions {
  readonly clock: ClockPort;
  readonly log: Log;
  /** Receives files of ours that cannot be read; without it they are only logged. */
  readonly conditions?: Pick<Conditions, 'report' | 'clear'>;
  readonly layout: Layout;
  /** Absolute path of conmon. */
  readonly monitorPath: string;
  /** Bytes after which the log of a container that is created now is started anew; undefined for no bound. */
  readonly logBytesMax?: () => number | undefined;
  /** PATH of conmon and the runtimes; they get no other environment variable. */
  readonly toolPath: string;
  readonly handlers: readonly HandlerConfig[];
  /** A handler's name, or `auto`. */
  readonly defaultHandler: string;
  /** Which of them the configuration permits; by default none. */
  readonly checkpoints?: { readonly taken: boolean; readonly restored: boolean };
  /** Creates the scopes of pods below a slice; undefined on a machine without systemd. */
  readonly systemd?: Systemd;
  readonly bundles: BundleWriter;
  /** Settles once no earlier daemon holds sessions of clients; undefined if none does. */
  readonly heldSessions?: Promise<void> | undefined;
  /** The machine's cgroup hierarchies. */
  readonly cgroups: CgroupLayout;
  /** Whether the machine supports user namespaces; asked at each probe. Without it: no. */
  readonly userNamespaces?: () => Promise<boolean>;
}

export interface DriverParts extends RuntimeDriverOptions {
  readonly table: HandlerTable;
  readonly moves: WarmCgroupMoves;
  readonly removedCgroups: RemovedCgroups;
  /** See `HandlerProbes.whyNotShort`. */
  readonly whyNotShort: (handler: Handler) => Promise<string>;
}

/** What identifies the processes that work for a container or a pause container. */
export function marksOf(handler: Handler, id: SandboxOrContainerId): Marks {
  return { id, rootArg: rootArg(handler.root) };
}

/** Options before the verb when the daemon calls the runtime itself: errors then arrive as JSON lines on stderr. */
export function ownGlobals(handler: Handler): string[] {
  return [rootArg(handler.root), '--log-format=json', ...(handler.options ?? [])];
}

export interface RuntimeRun {
  readonly argv: readonly string[];
  /** Such as `start container <id>`. */
  readonly attempted: string;
  /** Such as `runc start`: named in messages and in what the call waits on (F33, F34). */
  readonly stage: string;
  readonly subject: string;
  /** Text for its standard input. */
  readonly stdin?: string;
  readonly fx: EffectContext;
}

export interface RuntimeAnswer {
  readonly ok: boolean;
  /** `exit code 1: …`, at most 4 KiB, printable (F35); empty when ok. */
  readonly problem: string;
}

/** Runs the runtime's program to its exit. One that hangs is killed; throws `timedOut` with the stage. */
export async function runRuntime(parts: DriverParts, run: RuntimeRun): Promise<RuntimeAnswer> {
  const { fx, argv } = run;
  fx.note({ on: run.stage, argv });
  const result = await runTool({
    argv,
    env: { PATH: parts.toolPath },
    timeoutMs: fx.timeoutMs,
    signal: fx.signal,
    ...(run.stdin === undefined ? {} : { stdin: Buffer.from(run.stdin, 'utf8') }),
    clock: parts.clock,
    outputBytesMax: monitorLimits.reportBytes,
    onSpawn: (pid) => fx.note({ on: run.stage, argv, pid }),
  });
  if (result.timedOut) {
    fail('timedOut', `${run.attempted}: ${run.stage}: killed after a timeout of ${fx.timeoutMs} ms`, {
      subject: run.subject,
    });
  }
  if (result.exitCode === 0) return { ok: true, problem: '' };
  const stderr = Buffer.from(result.stderr).toString('utf8');
  const how = result.exitCode === null ? `signal ${result.signal}` : `exit code ${result.exitCode}`;
  const said = lastError(stderr) || printable(stderr.slice(-monitorLimits.quotedChars)) || 'no error message';
  return { ok: false, problem: `${how}: ${said}` };
}

/** An identity in the port's form. */
export function toPortIdentity(identity: HostIdentity): ProcessIdentity {
  return { pid: identity.pid, startTicks: BigInt(identity.startTicks), bootId: bootId() };
}

/** An identity in the host's form; undefined for a process of an earlier boot, which cannot be alive. */
export function toHostIdentity(identity: ProcessIdentity): HostIdentity | undefined {
  return identity.bootId === bootId()
    ? { pid: identity.pid, startTicks: Number(identity.startTicks) }
    : undefined;
}

/** Whether exactly this process is alive. */
export function isProcessAlive(identity: ProcessIdentity | undefined): boolean {
  const host = identity === undefined ? undefined : toHostIdentity(identity);
  return host !== undefined && processExists(host);
}

/** Whether exactly this process is alive and has not begun to exit. */
export function isProcessRunning(identity: ProcessIdentity): boolean {
  const host = toHostIdentity(identity);
  return host !== undefined && processRuns(host);
}

/**
 * The identity of the process with this pid, if it is alive. Waits, bounded, while its start time can't be read: it
 * sleeps for a disk or executes a program. Throws `timedOut` after that.
 */
export async function liveIdentity(
  { clock }: Pick<DriverParts, 'clock'>,
  pid: number,
): Promise<HostIdentity | undefined> {
  const attempted = `identify process ${pid}`;
  const { execveMs: timeoutMs, execvePollFirstMs: firstMs, execvePollLastMs: lastMs } = driverLimits;
  const read = await poll({ clock, timeoutMs, firstMs, lastMs, attempted }, () => {
    const stat = statAtOnce(pid);
    return stat === 'unread' ? undefined : { stat };
  });
  if (read === undefined)
    return fail('timedOut', `${attempted}: its start time could not be read for ${timeoutMs} ms`, {
      subject: String(pid),
    });
  const { stat } = read;
  if (stat === undefined) return undefined;
  const identity = { pid, startTicks: stat.startTicks };
  return processExists(identity) ? identity : undefined;
}
