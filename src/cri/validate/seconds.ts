import { refuse } from './check.ts';

const MS = 1000n;

/** Seconds as milliseconds, at most `mostMs`. Throws `invalidRequest` for a negative value. */
export function seconds(field: string, value: bigint, mostMs: number): number {
  if (value < 0n) refuse(field, `${value} is negative`);
  return Number(value * MS > BigInt(mostMs) ? BigInt(mostMs) : value * MS);
}
