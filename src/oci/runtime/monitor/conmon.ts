/**
 * The command line of conmon. No value can be parsed as an option: ids are 64 hex digits, paths are absolute, and
 * runtime arguments have the form --name=value (S65).
 */
import type { ContainerId } from '../../../base/ids.ts';

/** Descriptor of the sync pipe's write end in the monitor. */
export const SYNC_FD = 3;
/** Descriptor of the start pipe's read end in the monitor. */
export const START_FD = 4;

export interface MonitorCommand {
  /** Absolute path of conmon. */
  readonly monitorPath: string;
  /** Absolute path of the OCI runtime. */
  readonly runtimePath: string;
  /** Options of the runtime before its verb, such as `--root=…`. */
  readonly runtimeArgs: readonly string[];
  readonly id: ContainerId;
  readonly bundleDir: string;
}

export interface CreateCommand extends MonitorCommand {
  readonly pidFile: string;
  readonly monitorPidFile: string;
  readonly exitsDir: string;
  /** Absolute path; empty for no log. */
  readonly logPath: string;
  /** Bytes after which the log is started anew, empty; without it there is no bound. */
  readonly logBytesMax?: number;
  readonly tty: boolean;
  readonly stdin: boolean;
  /** Stdin closes when the first attached client ends its input. */
  readonly stdinOnce: boolean;
  /** The runtime must not use pivot_root. */
  readonly noPivot?: boolean;
  /** Restore instead of create: the directory of CRIU's images, and options of the runtime's restore. */
  readonly restore?: { readonly images: string; readonly options: readonly string[] };
}

/**
 * Command line of a container's monitor: it runs the runtime's create or restore, then keeps stdio, log and exit
 * code.
 */
export function createMonitorArgv(command: CreateCommand): string[] {
  return [
    ...common(command),
    '-P',
    command.monitorPidFile,
    '-p',
    command.pidFile,
    '--exit-dir',
    command.exitsDir,
    // attach socket in the bundle: without this, conmon makes a second directory of symlinks, which recovery would
    // have to know
    '--full-attach',
    // No fsync of the log: a busy disk would delay the exit code and, at each rotation, whoever writes to the pipe
    // (cri-o issue 6743). containerd does not sync it either.
    '--no-sync-log',
    '-l',
    // conmon reopens a log by renaming a new file over it: with /dev/null as path it would replace the machine's
    // device
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

/**
 * The monitor's whole environment: nothing of the daemon's or the container's (S64). Without a character set conmon
 * refuses a command line that is not ASCII, such as the path of a log or of the root directory.
 */
export function monitorEnv(path: string, withStartPipe: boolean): Readonly<Record<string, string>> {
  return {
    PATH: path,
    _OCI_SYNCPIPE: String(SYNC_FD),
    LC_CTYPE: 'C.UTF-8',
    ...(withStartPipe ? { _OCI_STARTPIPE: String(START_FD) } : {}),
  };
}

/** The log file in a monitor's command line; empty if it has no log. */
export function logPathOf(argv: readonly string[]): string {
  const driver = argv[argv.indexOf('-l') + 1] ?? '';
  return driver.startsWith('k8s-file:') ? driver.slice('k8s-file:'.length) : '';
}
