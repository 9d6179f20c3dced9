// What a part of the guest's job came to, by the report that it left: vitest's, or critest's list of specs.
import { countTests, type StepResult } from '../../scripts/support/steps.ts';
import type { Spec } from '../e2e/critest/report.ts';

/** Characters of a part's output that are kept: the reasons of failures come last. */
export const KEPT_OUTPUT = 256 * 1024;

/** One boot's file on the results' disk. */
export interface PartReport {
  readonly name: string;
  readonly code: number;
  readonly seconds: number;
  /** Vitest's, or critest's list of specs. Empty when the part left none: then its output's last totals count. */
  readonly report: string;
  /** The end of what it printed. */
  readonly output: string;
}

/** By the line that our programs end with, such as `kubelet: 43 passed, 0 failed, 2 skipped`. */
function countOutput({ name, code, seconds, output }: PartReport): StepResult {
  const totals = [...output.matchAll(/(\d+) passed, (\d+) failed(?:, (\d+) skipped)?/gu)].at(-1);
  const [passed, failed, skipped] = [1, 2, 3].map((at) => Number(totals?.[at] ?? 0)) as [
    number,
    number,
    number,
  ];
  const lines = output.split('\n');
  const failures = lines.filter((line) => /^\W*fail(ed|ure)?\b/iu.test(line)).slice(0, 100);
  if (totals === undefined) failures.push(`${name} ended with ${code} and left no totals`);
  else if (code !== 0 && failed === 0) failures.push(`${name} ended with ${code} although nothing failed`);
  return {
    name,
    seconds,
    passed,
    failed: Math.max(failed, code === 0 ? 0 : 1),
    skipped,
    failures,
    skips: lines.filter((line) => /^\W*skip(ped)?\b/iu.test(line)).slice(0, 100),
  };
}

/** Counts and names. A part that ended badly has failed even if none of its tests has. */
export function countPart(part: PartReport): StepResult {
  const { name, code, seconds, report } = part;
  if (report === '') return countOutput(part);
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
    reasons: specs.filter(({ state }) => state === 'skipped').map(({ reason }) => reason),
  };
}
