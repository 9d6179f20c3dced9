/**
 * A fuzz run: children do the cases, one after the other; a child that dies or hangs is a failure of the case it was
 * at.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cacheDirectory } from '../support/tools/cache.ts';
import { run } from '../support/run.ts';
import { EVENT_MS } from '../support/patience.ts';
import type { Orders, Said } from './child.ts';
import { targets } from './cases.ts';
import type { TargetName } from './target.ts';
import { stageDirectory } from './target.ts';

/** Cases that one process does: a new one begins with fresh memory. */
const CASES_PER_CHILD = 20_000;
/** ms for a whole child beyond its time: longer than any case may take, on a machine that does much else. */
const GRACE_MS = 3 * EVENT_MS;
/** Failures after which a run ends: the rest is most often the same. */
const MOST_FAILURES = 20;

export interface Failure {
  readonly number: number;
  readonly reason: string;
  /** Where the input is kept; undefined when the process died of it. */
  readonly file: string | undefined;
}

export interface FuzzResult {
  readonly cases: number;
  readonly accepted: number;
  readonly refused: number;
  readonly failures: readonly Failure[];
  readonly slowestMs: number;
  /** The case that took so long. */
  readonly slowest: number;
  readonly peakMiB: number;
}

export interface FuzzOptions {
  readonly target: TargetName;
  readonly seed: number;
  readonly from?: number;
  /** Number of cases; as many as the time allows where it is not said. */
  readonly cases?: number;
  /** Milliseconds; no bound where it is not said. */
  readonly forMs?: number;
  readonly input?: string;
  readonly onProgress?: (result: FuzzResult) => void;
}

export async function fuzz(options: FuzzOptions): Promise<FuzzResult> {
  const begun = performance.now();
  const from = options.from ?? 0;
  const to = from + (options.cases ?? Number.MAX_SAFE_INTEGER - from);
  const left = (): number => (options.forMs ?? Number.MAX_SAFE_INTEGER) - (performance.now() - begun);
  let result: FuzzResult = {
    cases: 0,
    accepted: 0,
    refused: 0,
    failures: [],
    slowestMs: 0,
    slowest: from,
    peakMiB: 0,
  };
  for (let next = from; next < to && left() > 0 && result.failures.length < MOST_FAILURES;) {
    const one = await child(options, next, Math.min(to, next + CASES_PER_CHILD), left());
    result = {
      cases: result.cases + one.next - next,
      accepted: result.accepted + one.accepted,
      refused: result.refused + one.refused,
      failures: [...result.failures, ...one.failures],
      slowestMs: Math.max(result.slowestMs, one.slowestMs),
      slowest: one.slowestMs > result.slowestMs ? one.slowest : result.slowest,
      peakMiB: Math.max(result.peakMiB, one.peakMiB),
    };
    next = one.next;
    options.onProgress?.(result);
  }
  return result;
}

interface Batch extends Omit<FuzzResult, 'cases'> {
  readonly next: number;
}

async function child(options: FuzzOptions, from: number, to: number, leftMs: number): Promise<Batch> {
  const { target, seed } = options;
  // a child's own time is bounded, so that a hanging one is found
  const forMs = Math.min(leftMs, 300_000);
  const orders: Orders = {
    target,
    seed,
    from,
    to,
    forMs,
    ...(options.input === undefined ? {} : { input: options.input }),
  };
  const program = [
    process.execPath,
    '--unhandled-rejections=strict',
    '--disable-proto=throw',
    join(import.meta.dirname, 'child.ts'),
    JSON.stringify(orders),
  ];
  if (targets[target].needsRoot) {
    mkdirSync(stageDirectory, { recursive: true });
    program.unshift('unshare', '--mount', '--propagation', 'private');
  }
  const ended = await run(program, { timeoutMs: forMs + GRACE_MS });
  const lines = ended.stdout.split('\n');
  const said = lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as Said);
  const failures = said.flatMap((one): Failure[] =>
    one.kind === 'failed'
      ? [
          {
            number: one.number,
            reason: one.reason,
            file: keep(target, seed, one.number, Buffer.from(one.input, 'base64')),
          },
        ]
      : [],
  );
  const done = said.find((one) => one.kind === 'done');
  if (done?.kind === 'done' && ended.code === 0) return { ...done, failures };
  const number = Number(lines.findLast((line) => /^[0-9]+$/u.test(line)) ?? from);
  const how = ended.signal === undefined ? `ended with code ${ended.code}` : `was ended by ${ended.signal}`;
  const died: Failure = {
    number,
    reason: `the process ${how}: ${ended.stderr.slice(-3000)}`,
    file: undefined,
  };
  return {
    next: number + 1,
    accepted: 0,
    refused: 0,
    failures: [...failures, died],
    slowestMs: 0,
    slowest: number,
    peakMiB: 0,
  };
}

function keep(target: TargetName, seed: number, number: number, input: Buffer): string {
  const directory = join(cacheDirectory, 'fuzz');
  mkdirSync(directory, { recursive: true });
  const file = join(directory, `${target}-${seed}-${number}`);
  writeFileSync(file, input);
  return file;
}
