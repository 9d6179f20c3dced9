/**
 * An administrator's expressions on a pod's text. JavaScript's go back and try again, so that some of them (`.*x.*y.*z`)
 * take minutes on a few thousand characters that were chosen for it, and nothing else runs meanwhile. V8 looks at the
 * bound of node:vm also while it matches: it is used for that, and shuts nothing in.
 */
import { createContext, Script } from 'node:vm';
import { fail } from '../../../../base/fault.ts';
import { nodeFileLimits } from '../../../bounds.ts';

/** What is compared now, for the message when the time is over: all of it is synchronous. */
const now = { what: '' };

/** An expression, and where it stands: file and field. To be used within `inMatchTime`. */
export class Expression {
  readonly #compiled: RegExp;
  readonly #what: string;

  /** Throws SyntaxError for text that is none. */
  constructor(text: string, what: string) {
    this.#compiled = new RegExp(text, 'u');
    this.#what = `${what}: ${JSON.stringify(text)}`;
  }

  /** What is looked at is bounded: the text is a stranger's. */
  matches(text: string): boolean {
    now.what = this.#what;
    return this.#compiled.test(text.slice(0, nodeFileLimits.matchedChars));
  }
}

const WORK = new Script('work()');

/** All that is compared for one container. Throws `outside` with file and expression once it has taken `matchMs`. */
export function inMatchTime<T>(work: () => T): T {
  now.what = 'no expression';
  try {
    return WORK.runInContext(createContext({ work }), { timeout: nodeFileLimits.matchMs }) as T;
  } catch (thrown) {
    // an Error of the other context, which is no instance of this one's
    if ((thrown as { readonly code?: unknown }).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw thrown;
    return fail(
      'outside',
      `${now.what} is too slow: hooks could not be chosen for the container's text within ${nodeFileLimits.matchMs} ms`,
    );
  }
}
