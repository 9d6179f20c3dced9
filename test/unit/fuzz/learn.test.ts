/** The loop of a learning run: what coverage and operands find, and what counts as a failure. */
import { openSync } from 'node:fs';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Coverage, Operands } from '../../fuzz/engine/coverage.ts';
import { Corpus } from '../../fuzz/engine/corpus.ts';
import { substitutions } from '../../fuzz/engine/havoc.ts';
import { learn } from '../../fuzz/engine/learn.ts';
import type { Verdict } from '../../fuzz/target.ts';

afterEach(() => vi.restoreAllMocks());

/** Coverage that a test counts by hand: one feature for each step that an input has reached. */
class HandCoverage {
  readonly literals = new Set<string>();
  readonly seen = new Set<number>();
  step = 0;
  operands: Operands[] = [];

  get reached(): number {
    return this.seen.size;
  }
  clear(): void {
    this.step = 0;
    this.operands = [];
  }
  isNew(): boolean {
    const before = this.seen.size;
    for (let step = 0; step <= this.step; step += 1) this.seen.add(step);
    return this.seen.size > before;
  }
  features(): readonly number[] {
    return Array.from({ length: this.step + 1 }, (_, step) => step * 256 + 1);
  }
  async comparedIn(work: () => Promise<unknown>): Promise<readonly Operands[]> {
    await work();
    return this.operands;
  }
}

function search(
  run: (input: Buffer, coverage: HandCoverage) => Verdict,
  executions: number,
): ReturnType<typeof learn> {
  const coverage = new HandCoverage();
  const hand: object = coverage;
  return learn({
    name: 'test',
    learner: { seeds: () => [], run: (input) => run(input, coverage) },
    coverage: hand as Coverage,
    seed: 1,
    maxBytes: 64,
    rssMiB: 8192,
    inputs: [Buffer.from('start')],
    executions,
    forMs: Infinity,
    currentFd: openSync('/dev/null', 'w'),
    onProgress: () => undefined,
  });
}

describe('a learning run', () => {
  it('finds a word letter by letter', async () => {
    const { learned } = await search((input, coverage) => {
      const word = 'hi';
      while (coverage.step < word.length && input[coverage.step] === word.charCodeAt(coverage.step))
        coverage.step += 1;
      if (coverage.step === word.length) throw new Error('open');
      return 'refused';
    }, 20_000);
    expect(
      learned.failures.map(({ reason, input }) => [
        reason.split('\n', 1)[0],
        input.subarray(0, 2).toString(),
      ]),
    ).toEqual([['Error: open', 'hi']]);
  });

  it('puts the operands of a comparison into the input', async () => {
    const { learned } = await search((input, coverage) => {
      coverage.step = input.length;
      const text = input.toString('latin1');
      coverage.operands.push([text.slice(0, 5), 'Xq9#7']);
      if (text.startsWith('Xq9#7')) throw new Error('open');
      return 'refused';
    }, 100);
    expect(learned.failures).toHaveLength(1);
  });

  it('reports a changed prototype', async () => {
    const { learned } = await search(() => {
      Object.defineProperty(Object.prototype, 'fuzzed', { value: 1, configurable: true });
      return 'accepted';
    }, 3);
    delete (Object.prototype as { fuzzed?: unknown }).fuzzed;
    expect(learned.failures[0]?.reason).toBe('a prototype has changed');
  });

  it('is the same for the same seed', async () => {
    const inputs = async (): Promise<string> => {
      const all: string[] = [];
      await search((input, coverage) => {
        all.push(input.toString('hex'));
        coverage.step = input.length % 7;
        return 'refused';
      }, 2000);
      return all.join();
    };
    expect(await inputs()).toBe(await inputs());
  });
});

describe('operands of comparisons', () => {
  it('replace each other as text, as digits and as numbers in both orders', () => {
    const found = substitutions(Buffer.from([0x12, 0x34, 0x37, 0x37]), [
      [0x1234, 0x5678],
      [0x3412, 9],
      [77, 5],
    ]).map((bytes) => bytes.toString('hex'));
    expect(found).toEqual(expect.arrayContaining(['56783737', '09003737', '123435']));
  });
});

describe('a corpus', () => {
  it('keeps a small set of inputs with the coverage of all, the smallest first', () => {
    const corpus = new Corpus();
    corpus.add({ bytes: Buffer.alloc(5000), features: [257, 513] });
    corpus.add({ bytes: Buffer.alloc(10), features: [257] });
    corpus.add({ bytes: Buffer.alloc(20), features: [513] });
    corpus.add({ bytes: Buffer.alloc(30), features: [513] });
    expect(corpus.cover().map(({ length }) => length)).toEqual([10, 20]);
  });
});
