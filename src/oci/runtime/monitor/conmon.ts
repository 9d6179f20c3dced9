/**
 * How conmon is called. Every value stands in a form that can't be read as an option of its own: ids are 64 hex
 * digits, paths are absolute, runtime arguments have the form --name=value (S65).
 */
import type { ContainerId } from '../../../base/ids.ts';

/** Number of the sync pipe's write end in the monitor. */
export const SYNC_FD = 3;
/** Number of the start pipe's read end in the monitor. */
export const START_FD = 4;

export interface MonitorCommand {
  /** Absolute path of conmon. */
  readonly monitorPath: string;
  /** Absolute path of the OCI runtime. */
  readonly runtimePath: string;
  /** Options of the runtime that stand before its verb, such as `--root=…`. */
  readonly runtimeArgs: readonly string[];
  readonly id: ContainerId;
  readonly bundleDir: string;
}

export interface CreateCommand extends MonitorCommand {
  readonly pidFile: string;
  readonly monitorPidFile: string;
  readonly exitsDir: string;
  /** Absolute; empty for no log. */
  readonly logPath: string;
  /** Bytes after which the log begins anew, empty; left out for no bound. */
  readonly logBytesMax?: number;
  readonly tty: boolean;
  readonly stdin: boolean;
  /** The first attached client's end closes stdin for good. */
  readonly stdinOnce: boolean;
  /** The runtime is not to use pivot_root. */
  readonly noPivot?: boolean;
  /** For a restore in the place of a create: the directory of CRIU's images, and options of the runtime's restore. */
  readonly restore?: { readonly images: string; readonly options: readonly string[] };
}

/** The monitor of a container: runs the runtime's create or restore, then keeps stdio, log and exit code. */
export function createArgv(command: CreateCommand): string[] {
  return [
    ...common(command),
    '-P',
    command.monitorPidFile,
    '-p',
    command.pidFile,
    '--exit-dir',
    command.exitsDir,
    // the attach socket stands in the bundle: no second directory of symlinks that recovery would have to know
    '--full-attach',
    // the log is not waited for: a disk that is busy would hold up the exit code, and at each rotation whoever writes to the pipe
    // (cri-o issue 6743); containerd waits for none either
    '--no-sync-log',
    '-l',
    // conmon reopens a log by renaming a new file over it: /dev/null as the path would lose the machine's
    command.logPath === '' ? 'none' : `k8s-file:${command.logPath}`,
    ...(command.logBytesMax === undefined ? [] : ['--log-size-max', String(command.logBytesMax)]),
    ...(command.noPivot === true ? ['--no-pivot'] : []),
    ...(command.restore === undefined
      ? []
      : [
          '--restore',
          command.restore.images,
          ...command.restore.options.flatMap((option) => ['--runtime-opt', option]),
        ]),
    ...(command.tty ? ['-t'] : []),
    ...(command.stdin ? ['-i'] : []),
    ...(command.stdin && !command.stdinOnce ? ['--leave-stdin-open'] : []),
  ];
}

function common(command: MonitorCommand): string[] {
  return [
    command.monitorPath,
    '-b',
    command.bundleDir,
    '-c',
    command.id,
    '-u',
    command.id,
    '-n',
    command.id,
    '-r',
    command.runtimePath,
    ...command.runtimeArgs.flatMap((arg) => ['--runtime-arg', arg]),
  ];
}

/** The whole environment of a monitor: nothing of the daemon's own, nothing of the container's (S64). */
export function monitorEnv(path: string, withStartPipe: boolean): Readonly<Record<string, string>> {
  return {
    PATH: path,
    _OCI_SYNCPIPE: String(SYNC_FD),
    ...(withStartPipe ? { _OCI_STARTPIPE: String(START_FD) } : {}),
  };
}

/** The log file that a monitor was started with, by its command line; empty when it has none. */
export function logPathOf(argv: readonly string[]): string {
  const driver = argv[argv.indexOf('-l') + 1] ?? '';
  return driver.startsWith('k8s-file:') ? driver.slice('k8s-file:'.length) : '';
}
