import { expect, test } from 'vitest';
import { Conditions } from '../../../src/base/conditions.ts';
import { LeftDebris } from '../../../src/base/left-debris.ts';
import { conditionLimits } from '../../../src/base/bounds.ts';
import { silentLog } from '../../../src/base/log.ts';

function bench() {
  const lines: string[] = [];
  const note = (fields: object, message: string): void =>
    void lines.push(`${'subject' in fields ? String(fields.subject) : ''} ${message}`);
  const conditions = new Conditions({ ...silentLog, warn: note, info: note });
  return {
    lines,
    left: new LeftDebris(conditions),
    subjects: () => conditions.all().map(({ subject }) => subject),
  };
}

const failing = (): Promise<never> => Promise.reject(new Error('EIO'));
const working = async (): Promise<void> => undefined;

test('F89 a path that fails in each round is logged once; one that is no longer found is cleared', async () => {
  const { lines, left, subjects } = bench();
  for (let times = 0; times < 3; times += 1) {
    const round = left.round();
    expect(await round.attempt('/trash/a', failing)).toBe(false);
    expect(await round.attempt('/trash/b', times === 0 ? failing : working)).toBe(times > 0);
    if (times < 2) await round.attempt('/trash/c', failing);
    round.end();
  }
  expect(subjects()).toEqual(['/trash/a']);
  expect(lines).toEqual([
    '/trash/a degraded',
    '/trash/b degraded',
    '/trash/c degraded',
    '/trash/b no longer degraded',
    '/trash/c no longer degraded',
  ]);
});

test('F89 a path with a failed and a successful step in one round is not cleared', async () => {
  const { lines, left, subjects } = bench();
  for (let times = 0; times < 2; times += 1) {
    const round = left.round();
    await round.attempt('/trash', failing);
    await round.attempt('/trash', working);
    round.end();
  }
  expect([subjects(), lines]).toEqual([['/trash'], ['/trash degraded']]);
});

test('F89 a path in an unreadable directory is not taken for deleted', async () => {
  const { left, subjects } = bench();
  const first = left.round();
  first.failed('/partial/a', 'EPERM');
  first.end();
  const second = left.round();
  await second.attempt('/partial', failing);
  second.end();
  expect(subjects()).toEqual(['/partial/a', '/partial']);
  const third = left.round();
  await third.attempt('/partial', working);
  third.end();
  expect(subjects()).toEqual([]);
});

test('F89 the number of kept paths is that of the conditions', () => {
  const { left, subjects } = bench();
  for (let at = 0; at < conditionLimits.subjects + 5; at += 1) left.report(`/trash/${at}`, 'EIO');
  left.round().end();
  expect(subjects()).toEqual([]);
});
