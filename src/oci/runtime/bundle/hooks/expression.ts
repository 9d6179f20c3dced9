/**
 * An administrator's regular expressions, matched against a pod's text. JavaScript's backtrack: some (`.*x.*y.*z`)
 * take minutes on a few thousand characters chosen for that, and block the event loop. V8 checks the timeout of
 * node:vm while it matches, which is why node:vm is used; it is no sandbox.
 */
import { createContext, Script } from 'node:vm';
import { fail } from '../../../../base/fault.ts';
import { nodeFileLimits } from '../../../bounds.ts';

/** The expression being matched, for the timeout's message; matching is synchronous. */
const now = { what: '' };

/** An expression with its origin, file and field. Only used within `inMatchTime`. */
export class Expression {
  readonly #compiled: RegExp;
  readonly #what: string;

  /** Throws SyntaxError for an invalid expression. */
  constructor(text: string, what: string) {
    this.#compiled = new RegExp(text, 'u');
    this.#what = `${what}: ${JSON.stringify(text)}`;
  }

  /** Only the first `matchedChars` are matched: the text is untrusted. */
  matches(text: string): boolean {
    now.what = this.#what;
    return this.#compiled.test(text.slice(0, nodeFileLimits.matchedChars));
  }
}

const WORK = new Script('work()');

/** Runs all matches for one container. Throws `outside` with file and expression after `matchMs`. */
export function inMatchTime<T>(work: () => T): T {
  now.what = 'no expression';
  try {
    return WORK.runInContext(createContext({ work }), { timeout: nodeFileLimits.matchMs }) as T;
  } catch (thrown) {
    // an Error of the other context, so instanceof does not hold
    if ((thrown as { readonly code?: unknown }).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw thrown;
    return fail(
      'outside',
      `${now.what}: choosing the container's hooks timed out after ${nodeFileLimits.matchMs} ms`,
    );
  }
}
