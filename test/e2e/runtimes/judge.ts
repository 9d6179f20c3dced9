// What did not pass, each with its explanation: whose limit it is, in the words of the table of explained.ts.

/** Something that a run reported and that did not pass. */
export interface Remark {
  readonly suite: 'critest' | 'conformance' | 'left';
  readonly state: 'failed' | 'skipped' | 'left';
  /** Name of the spec or row; of something left on the machine, its line. */
  readonly name: string;
  /** The reason as the suite has it. */
  readonly reason: string;
}

export interface Explanation {
  /** Names of runtimes. */
  readonly of: readonly string[];
  readonly suite: Remark['suite'];
  readonly name: RegExp;
  /** What the suite's reason must hold, so that another failure of the same spec is not taken for this one. */
  readonly reason: RegExp;
  /** One sentence. */
  readonly why: string;
}

export interface Judged {
  readonly explained: ReadonlyMap<Explanation, readonly Remark[]>;
  readonly unexplained: readonly Remark[];
}

/** Each remark goes to the first explanation that fits. */
export function judge(
  runtime: string,
  remarks: readonly Remark[],
  explanations: readonly Explanation[],
): Judged {
  const explained = new Map<Explanation, Remark[]>();
  const unexplained: Remark[] = [];
  for (const remark of remarks) {
    const found = explanations.find(
      ({ of, suite, name, reason }) =>
        of.includes(runtime) &&
        suite === remark.suite &&
        name.test(remark.name) &&
        reason.test(remark.reason),
    );
    if (found === undefined) unexplained.push(remark);
    else explained.set(found, [...(explained.get(found) ?? []), remark]);
  }
  return { explained, unexplained };
}
