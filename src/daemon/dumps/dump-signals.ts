/** The signals that ask the daemon for a dump, and how they are taken. */

/** `state`: what it does and waits for now. `heap`: what its memory holds, as numbers. */
export type DumpKind = 'state' | 'heap';

export const DUMP_SIGNALS = [
  ['SIGUSR1', 'state'],
  ['SIGUSR2', 'heap'],
] as const satisfies readonly (readonly [NodeJS.Signals, DumpKind])[];

/**
 * Calls `asked` for each of these signals, which would otherwise end the process. To be called before anything else:
 * whoever sends one does not know how far the start has come.
 */
export function onDumpSignal(asked: (kind: DumpKind) => void): void {
  for (const [signal, kind] of DUMP_SIGNALS) process.on(signal, () => asked(kind));
}
