// What a part of the guest's job came to, by the report that it left: vitest's, or critest's list of specs.
import { countTests, type StepResult } from '../../scripts/support/steps.ts';
import type { Spec } from '../e2e/critest/report.ts';

/** What the job prints when its results are on their disk: only the power-off is left. */
export const JOB_IS_OVER = '== the job is over, the results are on their disk';

/** Characters of a part's output that are kept: the reasons of failures come last. */
export const KEPT_OUTPUT = 256 * 1024;

/** Failures and skips of a part, by name. */
const MOST_LINES = 100;

/** One boot's file on the results' disk. */
export interface PartReport {
  readonly name: string;
  readonly code: number;
  readonly seconds: number;
  /** Vitest's, or critest's list of specs. Empty when the part left none: then its output's last totals count. */
  readonly report: string;
  /** The end of what it printed. */
  readonly output: string;
  /** Of the programs that containers run by, such as `runc: 1.3.0`. */
  readonly versions: Readonly<Record<string, string>>;
}

/** Lines of our programs' output, each with the first line of its reason where that stands indented below it. */
function linesOf(output: string, pattern: RegExp): string[] {
  const lines = output.split('\n');
  return lines
    .flatMap((line, at) => {
      if (!pattern.test(line)) return [];
      const below = lines[at + 1] ?? '';
      return [/^ {4,}\S/u.test(below) ? `${line.trim()}\n${below.trim()}` : line];
    })
    .slice(0, MOST_LINES);
}

/** By the line that our programs end with, such as `kubelet: 43 passed, 0 failed, 2 skipped`. */
function countOutput({ name, code, seconds, output }: PartReport): StepResult {
  const totals = [...output.matchAll(/(\d+) passed, (\d+) failed(?:, (\d+) skipped)?/gu)].at(-1);
  const [passed, failed, skipped] = [1, 2, 3].map((at) => Number(totals?.[at] ?? 0)) as [
    number,
    number,
    number,
  ];
  const failures = linesOf(output, /^\W*fail(ed|ure)?\b/iu);
  const skips = linesOf(output, /^\W*skip(ped)?\b/iu);
  if (totals === undefined) failures.push(`${name} ended with ${code} and left no totals`);
  else if (code !== 0 && failed === 0) failures.push(`${name} ended with ${code} although nothing failed`);
  return {
    name,
    seconds,
    passed,
    failed: Math.max(failed, code === 0 && totals !== undefined ? 0 : 1),
    skipped,
    failures,
    skips,
    reasons: skips.map((line) => line.replace(/^.*?\n|^.*?\): /u, '')),
  };
}

/** Sums of the boots of a part. @param missing why there are fewer reports than boots, which is a failure */
export function summed(name: string, boots: readonly PartReport[], missing?: string): StepResult {
  const counts = boots.map(countPart);
  const sum = (of: (one: StepResult) => number): number => counts.reduce((all, one) => all + of(one), 0);
  return {
    name,
    seconds: Math.max(0, ...counts.map(({ seconds }) => seconds)),
    passed: sum(({ passed }) => passed),
    failed: sum(({ failed }) => failed) + (missing === undefined ? 0 : 1),
    skipped: sum(({ skipped }) => skipped),
    failures: [
      ...counts.flatMap(({ failures }) => failures),
      ...(missing === undefined ? [] : [`the guest left ${missing}`]),
    ],
    skips: counts.flatMap(({ skips }) => skips),
    reasons: counts.flatMap(({ reasons = [] }) => reasons),
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
