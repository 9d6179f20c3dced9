/** What both kinds of dumps begin with, and counts by name. */
import type { DumpKind } from './dump-signals.ts';

export interface DumpHead {
  readonly version: string;
  readonly pid: number;
  readonly nowNs: bigint;
}

export function headOf(kind: DumpKind, { version, pid, nowNs }: DumpHead): object {
  return {
    kind,
    troupe: version,
    node: process.version,
    pid,
    written: new Date(Number(nowNs / 1_000_000n)).toISOString(),
    upSeconds: Math.round(process.uptime()),
  };
}

/** How often each name occurs, the most frequent first. */
export function countsOf(names: readonly string[]): Readonly<Record<string, number>> {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return Object.fromEntries([...counts].toSorted(([, a], [, b]) => b - a));
}
