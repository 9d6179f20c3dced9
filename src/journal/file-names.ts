/** Names in the journal's directory: `journal.<n>`, damaged files that are kept, and files that are being written. */
import { journalLimits } from './bounds.ts';

const NAME = /^journal\.(\d{1,15})$/u;
const DAMAGED = /^journal\.(\d{1,15})\.damaged$/u;

/** The numbers of the journal's files among these names, the newest first: that one is valid. */
export const numbersIn = (names: readonly string[]): readonly number[] =>
  names
    .flatMap((name) => NAME.exec(name)?.[1] ?? [])
    .map(Number)
    .toSorted((a, b) => b - a);

/** The damaged files among these names that stay as evidence, oldest first. */
export function damagedKept(names: readonly string[]): readonly string[] {
  return names
    .filter((name) => DAMAGED.test(name))
    .toSorted((a, b) => numberIn(a) - numberIn(b))
    .slice(-journalLimits.damagedKept);
}

/** What may go once the file of this number is the journal: older ones, partial ones, and damaged ones of long ago. */
export function leftOver(names: readonly string[], current: number): readonly string[] {
  const kept = new Set(damagedKept(names));
  return names.filter((name) => {
    const number = NAME.exec(name)?.[1];
    const isOld = number !== undefined && Number(number) < current;
    return isOld || name.endsWith('.new') || (DAMAGED.test(name) && !kept.has(name));
  });
}

function numberIn(name: string): number {
  return Number(DAMAGED.exec(name)?.[1] ?? 0);
}
