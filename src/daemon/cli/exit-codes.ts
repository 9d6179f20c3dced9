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
  /** sysexits(3), EX_CONFIG: the configuration is wrong, and systemd must not restart. */
  config: 78,
} as const;

/** Ends a command with this exit code and one line on stderr. */
export class CommandError extends Error {
  readonly exitCode: number;
  constructor(exitCode: number, message: string) {
    super(message);
    this.name = 'CommandError';
    this.exitCode = exitCode;
  }
}
