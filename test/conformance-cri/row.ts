// What a row of the conformance table is: one sentence of the contract, and how it is seen to hold.
import type { Trial } from './trial.ts';

export interface Row {
  /** Field of a message, an RPC or a word for what is meant: the first column. */
  readonly subject: string;
  /** What must hold, as a sentence: the second column, unique within its group. */
  readonly claim: string;
  /** Throws when it doesn't hold; `Skip` of skip.ts when it does not apply here. */
  readonly check: (trial: Trial) => Promise<void>;
}

export interface Group {
  readonly title: string;
  /** Where the OCI runtime takes part, so that the rows are run for each handler. */
  readonly perHandler: boolean;
  /** Rows that read all of the runtime's objects, or change what other rows use: one at a time. */
  readonly alone?: boolean;
  readonly rows: readonly Row[];
}

export function row(subject: string, claim: string, check: Row['check']): Row {
  return { subject, claim, check };
}
