/** Exit codes of the commands (docs/operations.md). */
export const EXIT = {
  ok: 0,
  /** A finding of `check`, or a command that failed. */
  failed: 1,
  /** A wrong command line, or a name that fits several pods. */
  usage: 2,
  /** No pod, container, pull or image of this name. */
  notFound: 3,
  /** No daemon answers at the introspection socket. */
  unreachable: 4,
  /** The daemon only: another process listens at the CRI socket's path (F90). */
  socketTaken: 5,
  /**
   * The daemon with `--take-over`, and `upgrade`: the daemon that runs has refused, and goes on; or none runs, and a
   * newer version has written the journal.
   */
  takeOverRefused: 6,
  /** `exec` and `run`, whose other codes are the program's: any error of ours, as in Docker and Podman. */
  programFailed: 125,
  /** `exec` and `run`: the program is there and can't be executed. */
  notExecutable: 126,
  /** `exec` and `run`: no such program. */
  programNotFound: 127,
  /** sysexits(3), EX_CONFIG, of the daemon and of `config --check`: systemd must not restart. */
  config: 78,
} as const;

/** Shells report a process that a signal ended as this and the signal's number. */
export const SIGNALLED = 128;

/** Ends a command with this exit code and one line on stderr. */
export class CommandError extends Error {
  readonly exitCode: number;
  constructor(exitCode: number, message: string) {
    super(message);
    this.name = 'CommandError';
    this.exitCode = exitCode;
  }
}
