import { refuse } from './check.ts';

const MS = 1000n;

/** An int64 of seconds as milliseconds; longer than `mostMs` becomes that. Throws `invalidRequest` when negative. */
export function seconds(field: string, value: bigint, mostMs: number): number {
  if (value < 0n) refuse(field, `${value} is negative`);
  return Number(value * MS > BigInt(mostMs) ? BigInt(mostMs) : value * MS);
}
