/**
 * One process of a learning run: instruments the target's sources, runs inputs and prints lines of JSON (`Report`). The
 * input that is running stands in a file, for the parent of a child that died of it. Argument: a JSON object
 * (`LearnOrders`).
 */
import {
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { exitNow } from '../../../src/host/process/exit.ts';
import { learners } from '../learners.ts';
import type { LearnerName } from '../learners.ts';
import { Coverage } from './coverage.ts';
import { inputsIn } from './files.ts';
import { learn } from './learn.ts';
import type { Learned } from './learn.ts';

export interface LearnOrders {
  readonly target: LearnerName;
  readonly seed: number;
  readonly executions: number;
  readonly forMs: number;
  /** Of the corpus and its regressions. */
  readonly corpus: string;
  /** The corpus becomes the few inputs that reach all that was reached. */
  readonly isKept: boolean;
  /** An input of its own instead of a run. */
  readonly input?: string;
  /** Where the running input stands: four bytes of length, then its bytes. */
  readonly current: string;
}

export type Report =
  | { readonly kind: 'progress'; readonly executions: number; readonly reached: number }
  | { readonly kind: 'failed'; readonly reason: string; readonly input: string }
  | ({
      readonly kind: 'done';
      readonly points: number;
      readonly unreached: readonly string[];
      readonly peakMiB: number;
      readonly corpus: number;
    } & Omit<Learned, 'failures'>);

function report(one: Report): void {
  writeSync(1, `${JSON.stringify(one)}\n`);
}

/** VmHWM: the most that was ever resident. */
function peakMiB(): number {
  return Number(/^VmHWM:\s+(\d+) kB$/mu.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0') / 1024;
}

/**
 * The cover in place of the files that are there; named by content, so that two runs write the same. Regressions stay.
 */
function keep(directory: string, cover: readonly Buffer[]): void {
  const fresh = `${directory}.new`;
  rmSync(fresh, { recursive: true, force: true });
  mkdirSync(fresh, { recursive: true });
  for (const bytes of cover)
    writeFileSync(join(fresh, createHash('sha256').update(bytes).digest('hex').slice(0, 16)), bytes);
  for (const { name, isRegression } of inputsIn(directory)) if (!isRegression) rmSync(join(directory, name));
  mkdirSync(directory, { recursive: true });
  for (const name of readdirSync(fresh)) renameSync(join(fresh, name), join(directory, name));
  rmSync(fresh, { recursive: true });
}

async function work(orders: LearnOrders): Promise<void> {
  const { sources, maxBytes, rssMiB, load } = learners[orders.target];
  const coverage = new Coverage(sources);
  const learner = await load();
  const stored = inputsIn(orders.corpus);
  const known = [
    ...stored.filter(({ isRegression }) => isRegression),
    ...stored.filter(({ isRegression }) => !isRegression),
  ].map(({ bytes }) => bytes);
  const inputs =
    orders.input === undefined
      ? [...known, ...learner.seeds().map(({ bytes }) => bytes)]
      : [readFileSync(orders.input)];
  const { learned, cover } = await learn({
    name: orders.target,
    learner,
    coverage,
    seed: orders.seed,
    maxBytes,
    rssMiB,
    inputs,
    executions: orders.input === undefined ? orders.executions : 1,
    forMs: orders.forMs,
    currentFd: openSync(orders.current, 'w'),
    onProgress: ({ executions, reached }) => report({ kind: 'progress', executions, reached }),
  });
  const { failures, ...counts } = learned;
  for (const { reason, input } of failures)
    report({ kind: 'failed', reason: reason.slice(0, 4000), input: input.toString('base64') });
  if (orders.isKept) keep(orders.corpus, cover);
  report({
    kind: 'done',
    ...counts,
    points: coverage.points,
    unreached: coverage.unreached(),
    peakMiB: peakMiB(),
    corpus: orders.isKept ? cover.length : stored.length,
  });
}

const { positionals } = parseArgs({ allowPositionals: true });
await work(JSON.parse(positionals[0] ?? '{}') as LearnOrders);
// a handle that an input has left open must not keep the process
process.once('exit', exitNow);
process.exit(0);
