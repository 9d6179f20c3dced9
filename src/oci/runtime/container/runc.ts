/**
 * The command line of runc and crun, which takes the same options, and the files that they write. Ids are 64 hex
 * digits, and options have the form --name=value or are followed by an absolute path, so no value can be parsed as
 * another option (S65).
 */
import type { SandboxOrContainerId } from '../../../base/ids.ts';
import { jsonObject } from '../../../base/json-object.ts';
import { monitorLimits } from '../bounds.ts';
import { printable } from '../../../base/fault.ts';
import { isScope } from '../../../host/cgroups/slices.ts';

/** The runtime's state directory. It separates the containers of one instance from another's. */
export function rootArg(root: string): string {
  return `--root=${root}`;
}

/** The runtime's options before its verb; `logFile` gets its errors as JSON lines. */
export function globalArgs(root: string, logFile: string, options: readonly string[] = []): string[] {
  return [rootArg(root), `--log=${logFile}`, '--log-format=json', ...options];
}

/**
 * Options before `create` for a cgroup that is a scope. Other verbs need none: both runtimes keep the cgroup driver
 * in the container's state.
 */
export function driverArgs(cgroup: string): string[] {
  return isScope(cgroup) ? ['--systemd-cgroup'] : [];
}

/** Options of `create` where pivot_root cannot be used. */
export function noPivotArgs({ noPivot }: { readonly noPivot?: boolean }): string[] {
  return noPivot === true ? ['--no-pivot'] : [];
}

export interface RuntimeCall {
  /** Absolute path of the runtime. */
  readonly path: string;
  readonly globals: readonly string[];
  readonly id: SandboxOrContainerId;
}

export function startArgv(call: RuntimeCall): string[] {
  return [call.path, ...call.globals, 'start', call.id];
}

/** Prints the container's state as JSON (runtime-spec, runtime.md, "State"). */
export function stateArgv(call: RuntimeCall): string[] {
  return [call.path, ...call.globals, 'state', call.id];
}

/** Reads the limits as JSON from its standard input. */
export function updateArgv(call: RuntimeCall): string[] {
  return [call.path, ...call.globals, 'update', '--resources=-', call.id];
}

/** Without --force: `delete -f` of a live container waits at least 100 ms, and the callers have killed it before. */
export function deleteArgv(call: RuntimeCall): string[] {
  return [call.path, ...call.globals, 'delete', call.id];
}

/** For state that a plain delete refuses: incomplete, or of a container that was never completely created. */
export function forceDeleteArgv(call: RuntimeCall): string[] {
  return [call.path, ...call.globals, 'delete', '--force', call.id];
}

/** Create without a monitor: the process inherits the runtime's stdio. */
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
  /** The runtime renames it into place before it exits. */
  readonly pidFile: string;
  /** More options of exec, such as runc's --cgroup. */
  readonly options: readonly string[];
}

/**
 * Detached: in the foreground the runtime copies stdio itself and does not return while a background child holds its
 * pipe. The process inherits the runtime's stdio, and the reaper of the runtime's orphans becomes its parent.
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

/** Init according to the runtime's state file. The pid counts only with its start time (F36, F43). */
export interface RuntimeState {
  readonly pid: number;
  readonly startTicks: number;
}

/** The two known forms: libcontainer's state.json and crun's status. */
export type StateFileName = 'state.json' | 'status';
export const STATE_FILES: readonly StateFileName[] = ['state.json', 'status'];

/**
 * FIFO in the state directory on which init waits for start: it exists while the container is created but not
 * started.
 */
export const EXEC_FIFO = 'exec.fifo';

/** Parses a state file. Undefined if it is incomplete, of an unknown form or of another id. */
export function parseState(name: StateFileName, text: string, id: string): RuntimeState | undefined {
  const value = jsonObject(text);
  if (value === undefined) return undefined;
  const member = (key: string): unknown => Object.getOwnPropertyDescriptor(value, key)?.value;
  const stateId = name === 'state.json' ? member('id') : id;
  const pid = member(name === 'state.json' ? 'init_process_pid' : 'pid');
  const startTicks = member(name === 'state.json' ? 'init_process_start' : 'process-start-time');
  if (stateId !== id || !isPositive(pid) || pid === 1 || !isPositive(startTicks)) return undefined;
  return { pid, startTicks };
}

function isPositive(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0;
}

/** The last error in the tail of a runtime's JSON log; empty without one. Safe for messages (F35). */
export function lastError(logTail: string): string {
  const lines = logTail.split('\n');
  // where the entry begins that ends at the line; newer crun (1.28) writes an entry over several lines
  let end = lines.length;
  for (let at = end - 1; at >= 0; at -= 1) {
    const line = lines[at];
    if (line === '}') end = at + 1;
    const message = messageOf(line === '{' ? lines.slice(at, end).join('\n') : (line ?? ''));
    if (message !== '') return printable(message.slice(0, monitorLimits.quotedChars));
  }
  return '';
}

/** What youki adds to a message: useless without its symbols, and long. */
const BACKTRACE = '\n\nStack backtrace:';

function messageOf(text: string): string {
  // the first line of a tail may be cut; a runtime that writes plain text is quoted from its stderr instead
  const entry = jsonObject(text);
  if (entry === undefined) return '';
  // runc, crun and runsc write "msg" and "error", youki "message" and "ERROR"
  const { level, msg, message = msg } = entry;
  const isError = level === undefined || (typeof level === 'string' && /^(?:error|fatal)$/iu.test(level));
  return isError && typeof message === 'string' ? (message.split(BACKTRACE)[0] ?? '') : '';
}

/** Whether the runtime's error means that the container does not exist. */
export function saysNoContainer(message: string): boolean {
  return /does not exist|no such (?:file or directory|container)/iu.test(message);
}
