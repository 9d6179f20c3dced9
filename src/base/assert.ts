import { fail } from './fault.ts';

/** Throws a Fault of kind `bug` when the condition does not hold. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) fail('bug', message);
}

/** For the default branch of a switch over a union: the compiler proves that it is never reached. */
export function unreachable(value: never): never {
  return fail('bug', `unreachable case: ${String(value)}`);
}
