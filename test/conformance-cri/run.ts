// Runs groups of rows on a stage.
import { EVENT_MS, hangs } from '../support/patience.ts';
import type { Group, Row } from './row.ts';
import { Skip } from './skip.ts';
import type { Stage } from './stage.ts';
import { Trial } from './trial.ts';

export type Outcome = 'passed' | 'failed' | 'skipped';

export interface Result {
  readonly group: string;
  readonly subject: string;
  readonly claim: string;
  readonly handler: string;
  readonly outcome: Outcome;
  /** Why it failed or was skipped. */
  readonly reason: string;
  readonly ms: number;
}

/** Rows at once: most of a row is waiting for the runtime. */
const AT_ONCE = 4;
/** ms for one row; above EVENT_MS, so that a row that waits in vain says for what. */
const ROW_MS = 2 * EVENT_MS;

export type OnResult = (result: Result) => void;

export async function runGroups(
  stage: Stage,
  groups: readonly Group[],
  onResult: OnResult,
): Promise<Result[]> {
  const results: Result[] = [];
  for (const group of groups) {
    // one that a row has brought down would cost each further row its whole time
    await stage.runtime.version({}, { deadlineMs: EVENT_MS });
    results.push(...(await runRows(stage, group, onResult)));
  }
  return results;
}

/** Reported as they end, returned in the table's order. */
async function runRows(stage: Stage, group: Group, onResult: OnResult): Promise<Result[]> {
  const results: Result[] = [];
  const waiting = group.rows.entries();
  const work = async (): Promise<void> => {
    for (const [at, row] of waiting) {
      const result = await runRow(stage, group.title, row);
      results[at] = result;
      onResult(result);
    }
  };
  await Promise.all(Array.from({ length: group.alone === true ? 1 : AT_ONCE }, work));
  return results;
}

async function runRow(stage: Stage, group: string, { subject, claim, check }: Row): Promise<Result> {
  const startedAt = performance.now();
  const trial = new Trial(stage);
  const result = (outcome: Outcome, reason: string): Result => ({
    group,
    subject,
    claim,
    handler: stage.handler,
    outcome,
    reason,
    ms: Math.round(performance.now() - startedAt),
  });
  let failure: unknown;
  try {
    await within(check(trial));
  } catch (error) {
    failure = error;
  }
  try {
    await within(trial.end());
  } catch (error) {
    failure ??= error;
  }
  if (failure === undefined) return result('passed', '');
  const reason = failure instanceof Error ? failure.message : JSON.stringify(failure);
  return result(failure instanceof Skip ? 'skipped' : 'failed', reason);
}

async function within(work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(hangs('the row', ROW_MS))), ROW_MS);
  });
  try {
    await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
