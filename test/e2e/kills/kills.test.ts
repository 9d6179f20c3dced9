// The short form of `npm run kills`: one kill in RunPodSandbox, at a call drawn by seed.
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { unless } from '../../support/skips/unless.ts';
import { randomStream } from '../../sim/random.ts';
import { describePods } from '../support/crictl.ts';
import { operations } from './operations.ts';
import { type Base, countCalls, KINDS, makeBase, strike } from './sweep.ts';

const SEED = 20261122;
/** Of the calls that were counted: a few may be others the next time, so the last ones are not reached for certain. */
const SURE = 0.8;

/** Yama's strictest mode: nobody may trace (Documentation/admin-guide/LSM/Yama.rst). */
function noTracing(): string {
  try {
    return readFileSync('/proc/sys/kernel/yama/ptrace_scope', 'utf8').trim() === '3'
      ? 'ptrace is forbidden'
      : '';
  } catch {
    // a kernel without Yama
    return '';
  }
}

describePods('the daemon killed at one of its system calls', () => {
  let base: Base;
  beforeAll(async () => {
    base = await makeBase('a pod');
  });
  afterAll(() => base.world.close());

  // a few seconds; `npm run kills` has all
  const some = operations.filter(({ name }) => name === 'RunPodSandbox');
  unless(test, noTracing()).each(some.map((operation) => [operation.name, operation] as const))(
    'F01 I2 I16 %s: the next instance reports the truth, the same request succeeds, nothing is left',
    async (name, operation) => {
      const random = randomStream(SEED, name);
      const calls = await countCalls(base, operation);
      const at = 1 + random.int(Math.floor(calls * SURE));
      const point = await strike(base, operation, { at, kind: random.pick(KINDS) });
      expect(point).toMatchObject({ operation: name, problem: '' });
    },
  );
});
