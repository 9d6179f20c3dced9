/**
 * How runc (and crun, which takes the same words) is called, and what it leaves in files. Ids are 64 hex digits and
 * options have the form --name=value or an absolute path behind them, so nothing can be read as another option (S65).
 */
import type { ContainerId, SandboxId } from '../../../base/ids.ts';
import { jsonObject } from '../../../base/json-object.ts';
import { monitorLimits } from '../bounds.ts';
import { printable } from '../../../base/fault.ts';
import { isScope } from '../../../host/cgroups/slices.ts';

type Id = ContainerId | SandboxId;

/** The option that tells one instance's containers from another's. */
export function rootArg(root: string): string {
  return `--root=${root}`;
}

/** The runtime's options before its verb; `logFile` gets its errors as JSON lines. */
export function globalArgs(root: string, logFile: string, options: readonly string[] = []): string[] {
  return [rootArg(root), `--log=${logFile}`, '--log-format=json', ...options];
}

/**
 * More options before `create`, for a cgroup that is a scope. No other verb needs them: both runtimes keep the driver in
 * the container's state.
 */
export function driverArgs(cgroup: string): string[] {
  return isScope(cgroup) ? ['--systemd-cgroup'] : [];
}

/** More options of `create`, where pivot_root is not to be used. */
export function noPivotArgs({ noPivot }: { readonly noPivot?: boolean }): string[] {
  return noPivot === true ? ['--no-pivot'] : [];
}

export interface RuntimeCall {
  /** Absolute path of the runtime. */
  readonly path: string;
  readonly globals: readonly string[];
  readonly id: Id;
}

export function startArgv(call: RuntimeCall): string[] {
  return [call.path, ...call.globals, 'start', call.id];
}

/** Prints the state as the runtime spec has it. */
export function stateArgv(call: RuntimeCall): string[] {
  return [call.path, ...call.globals, 'state', call.id];
}

/** Reads the limits as JSON from its standard input. */
export function updateArgv(call: RuntimeCall): string[] {
  return [call.path, ...call.globals, 'update', '--resources=-', call.id];
}

/** Without force: `delete -f` of a live container polls for 100 ms, and what must not live was killed before. */
export function deleteArgv(call: RuntimeCall): string[] {
  return [call.path, ...call.globals, 'delete', call.id];
}

/** For state that a plain delete refuses: half written, or of a container that was never whole. */
export function forceDeleteArgv(call: RuntimeCall): string[] {
  return [call.path, ...call.globals, 'delete', '--force', call.id];
}

/** Detached create without a monitor: the process keeps the stdio that the runtime was given. */
export function createArgv(
  call: RuntimeCall,
  bundleDir: string,
  pidFile: string,
  options: readonly string[] = [],
): string[] {
  return [
    call.path,
    ...call.globals,
    'create',
    '--bundle',
    bundleDir,
    '--pid-file',
    pidFile,
    ...options,
    call.id,
  ];
}

export interface ExecFiles {
  /** File with the OCI process object. */
  readonly processFile: string;
  /** Renamed into place before the runtime ends. */
  readonly pidFile: string;
  /** More options of exec, such as runc's --cgroup. */
  readonly options: readonly string[];
}

/**
 * Detached: in the foreground the runtime copies stdio itself and never returns while a background child holds its
 * pipe. The process keeps the stdio that the runtime was given, and goes to the reaper of the runtime's orphans.
 */
export function execArgv(call: RuntimeCall, { processFile, pidFile, options }: ExecFiles): string[] {
  return [
    call.path,
    ...call.globals,
    'exec',
    '--detach',
    `--process=${processFile}`,
    `--pid-file=${pidFile}`,
    ...options,
    call.id,
  ];
}

/** What the runtime's own state file says about init. A pid from it counts only with the start time (F36, F43). */
export interface RuntimeState {
  readonly pid: number;
  readonly startTicks: number;
}

/** The two forms: libcontainer's state.json and crun's status. */
export type StateFileName = 'state.json' | 'status';
export const STATE_FILES: readonly StateFileName[] = ['state.json', 'status'];

/** A FIFO in the state directory that init waits on until start: there while the container is created. */
export const EXEC_FIFO = 'exec.fifo';

/** The state, or undefined when the text is not whole JSON of the known form or is about another id. */
export function parseState(name: StateFileName, text: string, id: string): RuntimeState | undefined {
  const value = jsonObject(text);
  if (value === undefined) return undefined;
  const member = (key: string): unknown => Object.getOwnPropertyDescriptor(value, key)?.value;
  const told = name === 'state.json' ? member('id') : id;
  const pid = member(name === 'state.json' ? 'init_process_pid' : 'pid');
  const startTicks = member(name === 'state.json' ? 'init_process_start' : 'process-start-time');
  if (told !== id || !isPositive(pid) || pid === 1 || !isPositive(startTicks)) return undefined;
  return { pid, startTicks };
}

function isPositive(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0;
}

/** The last error in the end of a runtime's JSON log; empty when there is none. Safe for messages (F35). */
export function lastError(logTail: string): string {
  for (const line of logTail.split('\n').toReversed()) {
    const message = messageOf(line);
    if (message !== '') return printable(message.slice(0, monitorLimits.quotedChars));
  }
  return '';
}

function messageOf(line: string): string {
  // the first line of a tail is cut; a runtime that writes plain text is quoted from its stderr
  const entry = jsonObject(line);
  if (entry === undefined) return '';
  const { level, msg } = entry;
  const isError = level === 'error' || level === 'fatal' || level === undefined;
  return isError && typeof msg === 'string' ? msg : '';
}

/** True when the runtime says that it knows no such container. */
export function saysNoContainer(message: string): boolean {
  return /does not exist|no such (?:file or directory|container)/iu.test(message);
}
