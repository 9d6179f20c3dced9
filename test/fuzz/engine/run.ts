/**
 * A learning run: a child process does it; one that dies, hangs or grows without bound is a failure of the input it was
 * at.
 */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { EVENT_MS } from '../../support/patience.ts';
import { cacheDirectory } from '../../support/tools/cache.ts';
import type { LearnerName } from '../learners.ts';
import { targetNames } from '../target.ts';
import type { LearnOrders, Report } from './child.ts';

/** MiB of JavaScript's heap: an input that makes the parser keep more ends the process. */
const HEAP_MIB = 512;
/** ms without a word from the child, which says something each second: an input that takes so long never ends. */
const SILENCE_MS = EVENT_MS;
/** Processes that may die in one run. */
const MOST_DEATHS = 5;

export interface LearnResult {
  readonly executions: number;
  readonly minutes: number;
  /** Counters reached, and those that there are in the target's sources. */
  readonly reached: number;
  readonly points: number;
  /** File and line of those that were not reached. */
  readonly unreached: readonly string[];
  readonly accepted: number;
  readonly refused: number;
  readonly corpus: number;
  readonly slowestMs: number;
  readonly peakMiB: number;
  readonly failures: readonly { readonly reason: string; readonly file: string }[];
}

export interface LearnRun {
  readonly target: LearnerName;
  readonly seed: number;
  readonly executions?: number;
  readonly forMs?: number;
  /** The corpus in the repository becomes what this run has found. */
  readonly isKept?: boolean;
  /** A file with one input. */
  readonly input?: string;
  readonly onProgress?: (executions: number, reached: number) => void;
}

/** Targets that exist in both forms have a corpus for each. */
export function corpusOfLearner(target: LearnerName): string {
  const isOlder = (targetNames as readonly string[]).includes(target);
  return join(import.meta.dirname, '../corpus', isOlder ? `${target}-learned` : target);
}

interface Ended {
  readonly reports: readonly Report[];
  /** Why it ended; undefined where it came to its end. */
  readonly death: string | undefined;
}

export async function learnTarget(run: LearnRun): Promise<LearnResult> {
  const begun = performance.now();
  const failures: { reason: string; file: string }[] = [];
  for (let deaths = 0; ; deaths += 1) {
    const leftMs = (run.forMs ?? Number.MAX_SAFE_INTEGER) - (performance.now() - begun);
    const { reports, death } = await child(run, run.seed + deaths, leftMs);
    for (const one of reports)
      if (one.kind === 'failed')
        failures.push({ reason: one.reason, file: keep(run.target, Buffer.from(one.input, 'base64')) });
    const done = reports.find((one) => one.kind === 'done');
    const minutes = (performance.now() - begun) / 60_000;
    if (death !== undefined) failures.push({ reason: death, file: keep(run.target, lastInput(run.target)) });
    if (done?.kind === 'done') return { ...done, minutes, failures };
    if (deaths + 1 >= MOST_DEATHS || run.input !== undefined) {
      return {
        executions: 0,
        minutes,
        reached: 0,
        points: 0,
        unreached: [],
        accepted: 0,
        refused: 0,
        corpus: 0,
        slowestMs: 0,
        peakMiB: 0,
        failures,
      };
    }
  }
}

const currentFile = (target: LearnerName): string =>
  join(cacheDirectory, 'fuzz', `current-${process.pid}-${target}`);

async function child(run: LearnRun, seed: number, leftMs: number): Promise<Ended> {
  mkdirSync(join(cacheDirectory, 'fuzz'), { recursive: true });
  const orders: LearnOrders = {
    target: run.target,
    seed,
    executions: run.executions ?? Number.MAX_SAFE_INTEGER,
    forMs: leftMs,
    corpus: corpusOfLearner(run.target),
    isKept: run.isKept === true,
    current: currentFile(run.target),
    ...(run.input === undefined ? {} : { input: run.input }),
  };
  const flags = [
    `--max-old-space-size=${HEAP_MIB}`,
    '--unhandled-rejections=strict',
    '--disable-proto=throw',
  ];
  const started = spawn(
    process.execPath,
    [...flags, join(import.meta.dirname, 'child.ts'), JSON.stringify(orders)],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  const reports: Report[] = [];
  let stderr = '';
  let isSilent = false;
  const silent = (): NodeJS.Timeout =>
    setTimeout(() => {
      isSilent = true;
      started.kill('SIGKILL');
    }, SILENCE_MS);
  let timer = silent();
  started.stderr.on('data', (chunk: Buffer) => {
    stderr = (stderr + chunk.toString('utf8')).slice(-3000);
  });
  createInterface({ input: started.stdout }).on('line', (line) => {
    clearTimeout(timer);
    timer = silent();
    const one = JSON.parse(line) as Report;
    if (one.kind === 'progress') run.onProgress?.(one.executions, one.reached);
    else reports.push(one);
  });
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve) => {
    started.on('close', (...how) => resolve(how));
  });
  clearTimeout(timer);
  if (code === 0) return { reports, death: undefined };
  return {
    reports,
    death: isSilent
      ? `an input takes more than ${SILENCE_MS} ms`
      : `the process ended with ${signal ?? `code ${code}`}: ${stderr}`,
  };
}

/** What the child was at; its own size of at most four bytes goes before it. */
function lastInput(target: LearnerName): Buffer {
  const bytes = readFileSync(currentFile(target));
  return bytes.length < 4 ? bytes : bytes.subarray(4, 4 + bytes.readUInt32BE(0));
}

function keep(target: LearnerName, input: Buffer): string {
  const file = join(
    cacheDirectory,
    'fuzz',
    `${target}-${createHash('sha256').update(input).digest('hex').slice(0, 16)}`,
  );
  writeFileSync(file, input);
  return file;
}

/** Nothing of a run stays but what failed. */
export function clearUp(target: LearnerName): void {
  rmSync(currentFile(target), { force: true });
}
