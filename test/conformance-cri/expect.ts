// How rows check answers and refusals.
import { deepStrictEqual, match, strictEqual } from 'node:assert/strict';
import { status } from '@grpc/grpc-js';

export type Code = keyof typeof status;

interface Refusal {
  readonly code: number;
  readonly details: string;
}

function isRefusal(thrown: unknown): thrown is Refusal {
  return (
    thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'number' && 'details' in thrown
  );
}

/** What the runtime said no with; throws when it said yes. */
export async function refusalOf(call: Promise<unknown>): Promise<Refusal> {
  try {
    await call;
  } catch (thrown) {
    if (isRefusal(thrown)) return thrown;
    throw thrown;
  }
  throw new Error('it was accepted');
}

/** The call is refused with this code (one of them), and the message matches. */
export async function refused(
  call: Promise<unknown>,
  codes: Code | readonly Code[],
  message?: RegExp,
): Promise<void> {
  const { code, details } = await refusalOf(call);
  const wanted = typeof codes === 'string' ? [codes] : codes;
  const name = status[code] ?? String(code);
  if (!wanted.some((one) => one === name))
    throw new Error(`refused with ${name} instead of ${wanted.join(' or ')}: ${details}`);
  if (message !== undefined) match(details, message);
}

export function same(actual: unknown, expected: unknown, what?: string): void {
  if (what === undefined) deepStrictEqual(actual, expected);
  else deepStrictEqual({ [what]: actual }, { [what]: expected });
}

export function holds(condition: boolean, message: string): void {
  strictEqual(condition, true, message);
}

export function matches(text: string, pattern: RegExp): void {
  match(text, pattern);
}
