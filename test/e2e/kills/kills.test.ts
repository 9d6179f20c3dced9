// The short form of `npm run kills`: one kill in each operation, at a call drawn by seed.
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { unless } from '../../support/skips/unless.ts';
import { randomStream } from '../../sim/random.ts';
import { describePods } from '../support/crictl.ts';
import { operations } from './operations.ts';
import type { Operation, Standing } from './stage.ts';
import { type Base, countCalls, type Kind, KINDS, makeBase, strike, strikeAgain } from './sweep.ts';

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

/** Operations with which the instance after the kill has something to undo or to take up. */
const AGAIN = ['RunPodSandbox', 'StartContainer', 'PullImage'];
/** Calls that each start makes. */
const RECOVERY_CALLS = 40;

interface Case {
  readonly row: string;
  readonly name: string;
  readonly kinds: readonly Kind[];
  readonly operation: Operation;
}

/** For each operation a kill on one of the two sides; the client leaves in the one that has the most calls to undo. */
const KILLS = KINDS.filter((kind) => kind !== 'cancel');
const casesOf = (operation: Operation): readonly Case[] => {
  const { name } = operation;
  const kill = { row: operation.fault.row, name, kinds: KILLS, operation };
  return name === 'RunPodSandbox' ? [kill, { row: 'F68', name, kinds: ['cancel'], operation }] : [kill];
};

/** A base is a daemon with what stands: two are enough, since an operation on pods does not mind another pod. */
const BASES: readonly (readonly [Standing, readonly Operation[]])[] = [
  ['a pod', operations.filter(({ standing }) => standing !== 'nothing')],
  ['nothing', operations.filter(({ standing }) => standing === 'nothing')],
];

describe.each(BASES)('beside %s', (standing, some) => {
  describePods('the daemon killed at one of its system calls', () => {
    let base: Base;
    beforeAll(async () => {
      base = await makeBase(standing);
    });
    afterAll(() => base.world.close());

    // one point of each; `npm run kills` has all
    unless(test, noTracing()).each(some.flatMap(casesOf))(
      '$row I2 I16 $name, $kinds: what is reported is true, the same request succeeds, nothing is left',
      async ({ name, kinds, operation }) => {
        const random = randomStream(SEED, name);
        const calls = await countCalls(base, operation, kinds.join('-'));
        const at = 1 + random.int(Math.floor(calls * SURE));
        const point = await strike(base, operation, { at, kind: random.pick(kinds) });
        expect(point).toMatchObject({ operation: name, problem: '' });
      },
    );

    unless(test, noTracing()).each(some.filter(({ name }) => AGAIN.includes(name)))(
      'F10 I2 I16 $name, and the next instance in its recovery: what is reported is true, the same request succeeds, nothing is left',
      async (operation) => {
        const random = randomStream(SEED, `${operation.name}, again`);
        const calls = await countCalls(base, operation, 'again');
        const first = 1 + random.int(Math.floor(calls * SURE));
        const at = 1 + random.int(RECOVERY_CALLS);
        const point = await strikeAgain(base, operation, { first, at, kind: 'before' });
        expect(point).toMatchObject({ operation: operation.name, problem: '' });
      },
    );
  });
});
