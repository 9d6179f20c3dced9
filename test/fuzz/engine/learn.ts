/** The loop of a learning run: change an input, run it, keep it when it reached something new. */
import { writeSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import { randomStream } from '../../sim/random.ts';
import { minimise } from '../minimise.ts';
import { MISTAKES } from '../target.ts';
import type { Learner, Verdict } from '../target.ts';
import type { Coverage } from './coverage.ts';
import { Corpus } from './corpus.ts';
import type { Entry } from './corpus.ts';
import { havoc, substitutions } from './havoc.ts';

/** CPU ms of one execution above which the input counts as an attack on the daemon's one thread. */
const CASE_CPU_MS = 2000;
/** Wall ms from which CPU time is asked: the question costs more than most executions. */
const SUSPICIOUS_MS = 200;
/** Executions between two checks of memory and of rejections that nobody has handled. */
const LOOK_EVERY = 128;
/** Executions spent on one input before another is picked. */
const ENERGY = 32;
/** Executions that making a new input smaller may cost, and those with operands of comparisons put in. */
const TRIM_TRIES = 48;
const MOST_SUBSTITUTIONS = 96;
const MOST_FAILURES = 20;
/** ms between two lines that say that it goes on. */
const SAY_MS = 1000;

export interface Learned {
  readonly executions: number;
  readonly accepted: number;
  readonly refused: number;
  readonly reached: number;
  readonly slowestMs: number;
  readonly failures: readonly { readonly reason: string; readonly input: Buffer }[];
}

export interface LearnOptions {
  readonly name: string;
  readonly learner: Learner;
  readonly coverage: Coverage;
  readonly seed: number;
  readonly maxBytes: number;
  readonly rssMiB: number;
  /** Runs of these come first and count as executions. */
  readonly inputs: readonly Buffer[];
  /** Bounds of the run: executions, and ms. */
  readonly executions: number;
  readonly forMs: number;
  /** Open for writing: the input that is running, for a parent whose child died of it. */
  readonly currentFd: number;
  readonly onProgress: (learned: Learned) => void;
}

const PROTOTYPES = [
  Object.prototype,
  Array.prototype,
  Map.prototype,
  String.prototype,
  Function.prototype,
  Number.prototype,
  Uint8Array.prototype,
  Buffer.prototype,
];

class Run {
  readonly corpus = new Corpus();
  readonly failures: { reason: string; input: Buffer }[] = [];
  executions = 0;
  accepted = 0;
  refused = 0;
  slowestMs = 0;
  readonly #options: LearnOptions;
  readonly #begun = performance.now();
  readonly #seenReasons = new Set<string>();
  readonly #keys = PROTOTYPES.map((one) => Reflect.ownKeys(one).length);
  readonly #length = Buffer.alloc(4);
  readonly #compared = new Set<Entry>();
  #said = 0;

  constructor(options: LearnOptions) {
    this.#options = options;
  }

  get isOver(): boolean {
    const { executions, forMs } = this.#options;
    return (
      this.executions >= executions ||
      this.failures.length >= MOST_FAILURES ||
      performance.now() - this.#begun >= forMs
    );
  }

  learned(): Learned {
    const { executions, accepted, refused, slowestMs, failures } = this;
    return { executions, accepted, refused, slowestMs, failures, reached: this.#options.coverage.reached };
  }

  /** Runs it; the reason when something is wrong with the program. */
  async execute(input: Buffer): Promise<string | undefined> {
    const { coverage, learner, currentFd } = this.#options;
    this.executions += 1;
    this.#length.writeUInt32BE(input.length);
    writeSync(currentFd, Buffer.concat([this.#length, input]), 0, undefined, 0);
    coverage.clear();
    const started = performance.now();
    const cpu = process.threadCpuUsage();
    // the learner gets a copy: one that writes into its input must not change what is kept
    const failed = await verdictOf(learner, Buffer.from(input)).then(
      (verdict) => {
        this[verdict] += 1;
        return undefined;
      },
      (error: unknown) => (error instanceof Error ? (error.stack ?? error.message) : String(error)),
    );
    const tookMs = performance.now() - started;
    this.slowestMs = Math.max(this.slowestMs, tookMs);
    await this.#poll(tookMs);
    if (failed !== undefined) return failed;
    if (PROTOTYPES.some((one, at) => Reflect.ownKeys(one).length !== this.#keys[at]))
      return 'a prototype has changed';
    if (tookMs < SUSPICIOUS_MS) return undefined;
    const { user, system } = process.threadCpuUsage(cpu);
    const cpuMs = (user + system) / 1000;
    return cpuMs > CASE_CPU_MS
      ? `slow: it took ${cpuMs.toFixed(0)} ms of CPU, the bound is ${CASE_CPU_MS}`
      : undefined;
  }

  /** Runs an input; keeps it when it is new, smaller if it is one of this run, and what is wrong when it fails. */
  async attempt(input: Buffer, isStored = false): Promise<void> {
    const { coverage } = this.#options;
    const reason = await this.execute(input);
    const isNew = coverage.isNew();
    if (reason !== undefined) return this.#fail(input, reason);
    if (!isNew) return;
    const features = coverage.features();
    this.corpus.add({ bytes: isStored ? input : await this.#trimmed(input, features), features });
  }

  /**
   * Runs the input with operands of its comparisons in place of each other; once for each entry, as one of its rounds.
   */
  async compare(entry: Entry): Promise<void> {
    if (this.#compared.has(entry)) return;
    this.#compared.add(entry);
    const { coverage, maxBytes } = this.#options;
    const compared = await coverage.comparedIn(() => this.execute(entry.bytes));
    const all = substitutions(entry.bytes, compared);
    const step = Math.max(1, Math.floor(all.length / MOST_SUBSTITUTIONS));
    for (let at = 0; at < all.length && !this.isOver; at += step)
      await this.attempt((all[at] ?? entry.bytes).subarray(0, maxBytes));
  }

  /** The input without runs of bytes that do not matter for what it reaches. */
  async #trimmed(input: Buffer, features: readonly number[]): Promise<Buffer> {
    const wanted = features.join();
    let best = input;
    let tries = 0;
    for (
      let run = 2 ** Math.floor(Math.log2(Math.max(1, input.length / 2)));
      run >= 1 && tries < TRIM_TRIES;
      run = Math.floor(run / 2)
    ) {
      for (let at = 0; at < best.length && tries < TRIM_TRIES && !this.isOver;) {
        const shorter = Buffer.concat([best.subarray(0, at), best.subarray(at + run)]);
        tries += 1;
        const failed = await this.execute(shorter);
        if (failed === undefined && this.#options.coverage.features().join() === wanted) best = shorter;
        else at += run;
      }
    }
    return best;
  }

  async #fail(input: Buffer, reason: string): Promise<void> {
    const first = headOf(reason);
    if (this.#seenReasons.has(first)) return;
    this.#seenReasons.add(first);
    const small = reason.startsWith('slow')
      ? input
      : await minimise(input, async (shorter) => headOf((await this.execute(shorter)) ?? '') === first);
    this.failures.push({ reason: (await this.execute(small)) ?? reason, input: small });
  }

  async #poll(tookMs: number): Promise<void> {
    const now = performance.now();
    if (now - this.#said > SAY_MS) {
      this.#said = now;
      this.#options.onProgress(this.learned());
    }
    if (this.executions % LOOK_EVERY !== 0 && tookMs < SUSPICIOUS_MS) return;
    // promises that nobody has taken are found when all others have been served
    await turn();
    const rssMiB = process.memoryUsage.rss() / 2 ** 20;
    if (rssMiB > this.#options.rssMiB)
      throw new Error(
        `resident memory went up to ${rssMiB.toFixed(0)} MiB, the bound is ${this.#options.rssMiB}`,
      );
  }
}

/** The first line and the place, without what differs between two inputs. */
function headOf(reason: string): string {
  const [first = '', ...rest] = reason.split('\n');
  const place = rest.find((line) => line.includes('/src/'))?.replaceAll(/:[0-9]+:[0-9]+/gu, '') ?? '';
  return `${first.replaceAll(/"[^"]*"|[0-9a-f]{8,}|[0-9]+/gu, '').slice(0, 120)} ${place.trim()}`;
}

async function verdictOf(learner: Learner, input: Buffer): Promise<Verdict> {
  return learner.run(input);
}

/** @returns what came of it, and the few inputs that reach all that was reached */
export async function learn(
  options: LearnOptions,
): Promise<{ readonly learned: Learned; readonly cover: readonly Buffer[] }> {
  const { learner, coverage, inputs, seed, name, maxBytes } = options;
  const random = randomStream(seed, `learn/${name}`);
  const run = new Run(options);
  // all of them, whatever the bounds: what once failed is run each time
  for (const input of inputs) await run.attempt(input, true);
  // an input that reaches nothing new is still one to begin with
  if (run.corpus.entries.length === 0) run.corpus.add({ bytes: inputs[0] ?? Buffer.alloc(0), features: [] });
  // words of the engine's errors would come back in messages that quote the input
  const words = [...new Set([...(learner.dictionary ?? []), ...coverage.literals])]
    .filter((word) => !MISTAKES.test(word))
    .map((word) => Buffer.from(word));
  while (!run.isOver) {
    const parent = run.corpus.pick(random);
    await run.compare(parent);
    const other = (): Buffer => run.corpus.pick(random).bytes;
    for (let left = ENERGY; left > 0 && !run.isOver; left -= 1) {
      const made =
        learner.make !== undefined && random.chance(0.5)
          ? learner.make(random, [parent.bytes, other()])
          : havoc(parent.bytes, { random, words, maxBytes, other });
      const whole = learner.repair !== undefined && random.chance(0.7) ? learner.repair(made) : made;
      await run.attempt(whole.subarray(0, maxBytes));
    }
  }
  return { learned: run.learned(), cover: run.corpus.cover() };
}
