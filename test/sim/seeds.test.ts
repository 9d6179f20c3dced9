/** Short form of `npm run sim`: what holds in each of these worlds holds after every step. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { runSeed } from './seeds.ts';

const SEEDS = 200;

describe('seeded worlds', () => {
  it(`I1 I2 I3 I4 I5 I6 I7 I8 I13 I18 hold in ${SEEDS} seeds`, { timeout: 120_000 }, async () => {
    const failures: string[] = [];
    for (let seed = 1; seed <= SEEDS; seed += 1) {
      const { failure, hash } = await runSeed(seed);
      if (failure !== undefined) failures.push(`seed=${seed} step=${failure.step} invariant=${failure.invariant} ${failure.detail}`);
      if (seed % 100 === 0) expect([seed, (await runSeed(seed)).hash]).toStrictEqual([seed, hash]);
    }
    expect(failures).toStrictEqual([]);
  });

  // the test runner loads xstate's development build, plain Node the production build: sends to stopped actors differ
  it('I18 holds with the production build of xstate, from the command line', { timeout: 60_000 }, async () => {
    const main = join(import.meta.dirname, 'main.ts');
    const { stdout } = await promisify(execFile)(process.execPath, [main, '--seeds', '20', '--from', '9001']);
    expect(stdout).toMatch(/^seeds 20, failed 0, events \d+/u);
  });
});
