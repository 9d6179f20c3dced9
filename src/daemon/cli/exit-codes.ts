/** What the commands end with; docs/operations.md tells them to people. */
export const EXIT = {
  ok: 0,
  /** A finding of `check`, or a command that could not do its work. */
  failed: 1,
  /** The command line was not understood, or a word fits several pods. */
  usage: 2,
  /** No pod, container, pull or image of this name. */
  notFound: 3,
  /** No daemon answers at the introspection socket. */
  unreachable: 4,
  /** Of the daemon: another process listens at the CRI socket's path in its place (F90). */
  socketTaken: 5,
  /** sysexits(3), EX_CONFIG: the configuration is wrong; systemd need not restart. */
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
