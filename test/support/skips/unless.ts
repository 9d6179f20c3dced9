// How a test is skipped: with the reason, for which remedies.ts says what would make the test run. The reason goes into
// the test's `meta`, from which the report of a run takes it.
import { existsSync } from 'node:fs';
import type { TestContext } from 'vitest';
import { remedyOf } from './remedies.ts';

declare module 'vitest' {
  interface TaskMeta {
    /** Why the test was skipped. */
    skipped?: string;
  }
}

type Body = (...given: never[]) => unknown;
type Declare = (name: string, first: object | Body, second?: Body | number) => unknown;
interface Runnable extends Declare {
  readonly skip: Declare & { readonly each: (cases: readonly unknown[]) => Declare };
}

/** Empty for root. */
export const notRoot = (): string => (process.getuid?.() === 0 ? '' : 'needs root');

/** The programs and files among these that are not there, as a reason; empty where all are. */
export function lacking(...paths: readonly string[]): string {
  const absent = paths.filter((path) => !existsSync(path));
  return absent.length === 0 ? '' : `needs ${absent.join(', ')}`;
}

/**
 * `it`, `test` or `describe` itself where nothing is in the way; otherwise what declares the same tests as skipped.
 * Throws for a reason of which remedies.ts does not know what would make the test run.
 * @param reason empty or undefined where nothing is in the way
 */
export function unless<T extends object>(run: T, reason: string | undefined): T {
  if (reason === undefined || reason === '') return run;
  demandRemedy(reason);
  const { skip } = run as T & Runnable;
  const skipping =
    (declare: Declare): Declare =>
    (name, first, second) => {
      const body = typeof first === 'function' ? (first as Body) : second;
      const options = typeof first === 'function' ? {} : first;
      return declare(name, { ...options, meta: { skipped: reason } }, body);
    };
  const each = (cases: readonly unknown[]): Declare => skipping(skip.each(cases));
  return Object.assign(skipping(skip), { each }) as object as T;
}

/** Skips the test that is running. */
export function skipHere(context: TestContext, reason: string): void {
  demandRemedy(reason);
  context.task.meta.skipped = reason;
  context.skip(reason);
}

function demandRemedy(reason: string): void {
  if (remedyOf(reason) === undefined)
    throw new Error(
      `a skipped test: test/support/skips/remedies.ts does not say what would make it run: ${reason}`,
    );
}
