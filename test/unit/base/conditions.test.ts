import { describe, expect, test } from 'vitest';
import { Conditions } from '../../../src/base/conditions.ts';
import { conditionLimits } from '../../../src/base/bounds.ts';
import { silentLog } from '../../../src/base/log.ts';

function recorded() {
  const lines: object[] = [];
  const note = (fields: object, message: string): void => void lines.push({ ...fields, message });
  return { lines, conditions: new Conditions({ ...silentLog, warn: note, info: note }) };
}

const type = 'DebrisRemoved';

describe('conditions (F89, F95)', () => {
  test('one log line for each new reason, none for a repeated report', () => {
    const { lines, conditions } = recorded();
    for (const reason of ['EPERM', 'EPERM', 'EBUSY']) conditions.report({ type, subject: '/a', reason });
    expect(lines).toEqual([
      { condition: type, subject: '/a', reason: 'EPERM', message: 'degraded' },
      { condition: type, subject: '/a', reason: 'EBUSY', message: 'degraded' },
    ]);
    expect(conditions.all()).toEqual([{ type, subject: '/a', reason: 'EBUSY' }]);
  });

  test('a type is false until its last subject is cleared', () => {
    const { lines, conditions } = recorded();
    for (const subject of ['/a', '/b']) conditions.report({ type, subject, reason: 'EPERM' });
    conditions.clear(type, '/a');
    expect(conditions.listFalse()).toEqual([{ type, reason: 'DebrisLeft', message: '/b: EPERM', count: 1 }]);
    conditions.clear(type, '/b');
    conditions.clear(type, '/b');
    expect(conditions.listFalse()).toEqual([]);
    expect(lines.slice(2)).toEqual(
      ['/a', '/b'].map((subject) => ({ condition: type, subject, message: 'no longer degraded' })),
    );
  });

  test('kept subjects are bounded: a message names a few, and a repeated report counts once', () => {
    const { lines, conditions } = recorded();
    const total = conditionLimits.subjects + 7;
    for (let round = 0; round < 2; round += 1) {
      for (let at = 0; at < total; at += 1)
        conditions.report({ type, subject: `/${at}`, reason: 'x'.repeat(5000) });
    }
    const [only] = conditions.listFalse();
    expect(only?.count).toBe(conditionLimits.subjects + 1);
    expect(only?.message).toMatch(
      new RegExp(`; and at least ${conditionLimits.subjects + 1 - conditionLimits.shown} more$`, 'u'),
    );
    expect(only?.message.length).toBeLessThan(conditionLimits.shown * (conditionLimits.reasonChars + 20));
    expect(lines).toHaveLength(conditionLimits.subjects);
  });

  test('replace clears what is no longer reported', () => {
    const { conditions } = recorded();
    conditions.replace(
      type,
      new Map([
        ['/a', 'EPERM'],
        ['/b', 'EPERM'],
      ]),
    );
    conditions.replace(
      type,
      new Map([
        ['/b', 'EPERM'],
        ['/c', 'EIO'],
      ]),
    );
    expect(conditions.all().map(({ subject }) => subject)).toEqual(['/b', '/c']);
  });

  test('a subject beyond the bound is forgotten once a whole report no longer has it', () => {
    const { conditions } = recorded();
    const bad = new Map(Array.from({ length: conditionLimits.subjects }, (_, at) => [`/${at}`, 'EPERM']));
    conditions.replace(type, new Map([...bad, ['/more', 'EPERM']]));
    expect(conditions.listFalse()[0]?.count).toBe(conditionLimits.subjects + 1);
    conditions.replace(type, bad);
    expect(conditions.listFalse()[0]?.count).toBe(conditionLimits.subjects);
  });
});
