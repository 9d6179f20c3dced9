// What a part of the guest's job came to, by the report that it left: vitest's, or critest's list of specs.
import { countTests, type StepResult } from '../../scripts/support/steps.ts';
import type { Spec } from '../e2e/critest/report.ts';

/** One part's file on the results' disk. */
export interface PartReport {
  readonly name: string;
  readonly code: number;
  readonly seconds: number;
  /** Empty when the part left none: then it counts as one, by its exit code. */
  readonly report: string;
}

/** Counts and names. A part that ended badly has failed even if none of its tests has. */
export function countPart({ name, code, seconds, report }: PartReport): StepResult {
  if (report === '')
    return {
      name,
      seconds,
      passed: 0,
      failed: 1,
      skipped: 0,
      failures: [`${name} ended with ${code} and left no report`],
      skips: [],
    };
  if (!report.startsWith('['))
    return { name, seconds, ...countTests(name, { code, hang: undefined }, report) };
  const specs = JSON.parse(report) as readonly Spec[];
  const named = (state: Spec['state']): string[] =>
    specs
      .filter((spec) => spec.state === state)
      .map((spec) => `${spec.name}${spec.reason === '' ? '' : `: ${spec.reason}`}`);
  const failures = named('failed');
  if (code !== 0 && failures.length === 0)
    failures.push(`${name} ended with ${code} although no spec failed`);
  return {
    name,
    seconds,
    passed: named('passed').length,
    failed: failures.length,
    skipped: named('skipped').length,
    failures,
    skips: named('skipped'),
  };
}
