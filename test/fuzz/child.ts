/**
 * One process of a fuzz run: does cases until their number or the time is over. It says what it begins, so that its
 * parent knows the case when it dies. Arguments: a JSON object (`Orders`).
 */
import { readFileSync, writeSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { exitNow } from '../../src/host/process/exit.ts';
import { mountFilesystem, remountReadOnly } from '../../src/host/mounts/mounts.ts';
import { EVENT_MS } from '../support/patience.ts';
import { caseOf, corpusOf, targets } from './cases.ts';
import { minimise } from './minimise.ts';
import type { Stage, Target, TargetName } from './target.ts';
import { stageDirectory } from './target.ts';

export interface Orders {
  readonly target: TargetName;
  readonly seed: number;
  /** First case. */
  readonly from: number;
  /** The case to stop before; time may stop it earlier. */
  readonly to: number;
  /** Milliseconds. */
  readonly forMs: number;
  /** An input of its own instead of cases. */
  readonly input?: string;
}

/** What the child says at its end, or when a case fails, as one line of JSON; before each case it says its number. */
export type Said =
  | { readonly kind: 'failed'; readonly number: number; readonly reason: string; readonly input: string }
  | {
      readonly kind: 'done';
      readonly next: number;
      readonly accepted: number;
      readonly refused: number;
      readonly slowestMs: number;
      readonly slowest: number;
      readonly peakMiB: number;
    };

const TMPFS_MIB = 512;
/** ms that one input may take: a hundred times what the slowest takes, since a busy machine stretches all of them. */
const CASE_MS = 2 * EVENT_MS;

/**
 * Bytes of an input in a report: a line with more does not get through to the parent whole; the case's number makes
 * it again.
 */
const SHOWN_BYTES = 1024 * 1024;

function say(said: Said): void {
  writeSync(1, `${JSON.stringify(said)}\n`);
}

function sayFailed(number: number, reason: string, input: Buffer): void {
  say({
    kind: 'failed',
    number,
    reason: reason.slice(0, 4000),
    input: input.subarray(0, SHOWN_BYTES).toString('base64'),
  });
}

/** VmHWM: the most that was ever resident. */
function peakMiB(): number {
  return Number(/^VmHWM:\s+(\d+) kB$/mu.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0') / 1024;
}

async function attempt(
  stage: Stage,
  input: Buffer,
): Promise<{ readonly verdict: 'accepted' | 'refused' } | { readonly reason: string }> {
  try {
    return { verdict: await stage.run(input) };
  } catch (error) {
    return { reason: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}

/** Reports a failure with the smallest input that shows one of the same first line. */
async function report(stage: Stage, number: number, input: Buffer, reason: string): Promise<void> {
  const first = reason.split('\n', 1)[0]?.replaceAll(/[0-9a-f]{8,}|[0-9]+/gu, '');
  const small = await minimise(input, async (candidate) => {
    const result = await attempt(stage, candidate);
    return (
      'reason' in result && result.reason.split('\n', 1)[0]?.replaceAll(/[0-9a-f]{8,}|[0-9]+/gu, '') === first
    );
  });
  sayFailed(number, reason, small);
}

async function work(target: Target, orders: Orders): Promise<void> {
  if (target.needsRoot) {
    // what escapes meets a machine on which nothing can be written
    await remountReadOnly('/', { recursive: true });
    await mountFilesystem({
      type: 'tmpfs',
      source: 'tmpfs',
      target: stageDirectory,
      options: [['size', `${TMPFS_MIB}m`]],
    });
  }
  const stage = await target.open();
  const corpus = corpusOf(target.name).map(({ bytes }) => bytes);
  const begun = performance.now();
  const count = { accepted: 0, refused: 0 };
  let slowestMs = 0;
  let slowest = orders.from;
  let number = orders.from;
  for (; number < orders.to && performance.now() - begun < orders.forMs; number += 1) {
    writeSync(1, `${number}\n`);
    const input =
      orders.input === undefined ? caseOf(target, corpus, orders.seed, number) : readFileSync(orders.input);
    const started = performance.now();
    const result = await attempt(stage, input);
    const tookMs = performance.now() - started;
    // promises that nobody handles are found when all others have been served
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
    if (tookMs > slowestMs) [slowestMs, slowest] = [tookMs, number];
    if (tookMs > CASE_MS)
      sayFailed(number, `it took ${tookMs.toFixed(0)} ms, the bound is ${CASE_MS}`, input);
    if ('verdict' in result) count[result.verdict] += 1;
    else await report(stage, number, input, result.reason);
    if (peakMiB() > target.rssMiB) {
      sayFailed(
        number,
        `resident memory went up to ${peakMiB().toFixed(0)} MiB, the bound is ${target.rssMiB}`,
        input,
      );
      // the peak stays: a new process goes on behind this case
      number += 1;
      break;
    }
  }
  await stage.close();
  say({ kind: 'done', next: number, ...count, slowestMs, slowest, peakMiB: peakMiB() });
}

const { positionals } = parseArgs({ allowPositionals: true });
const orders = JSON.parse(positionals[0] ?? '{}') as Orders;
await work(targets[orders.target], orders);
// a handle that a case has left open must not keep the process
process.once('exit', exitNow);
process.exit(0);
