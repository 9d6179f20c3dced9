import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Conditions } from '../../../../../src/base/conditions.ts';
import { silentLog } from '../../../../../src/base/log.ts';
import { Trash } from '../../../../../src/oci/images/store/trash.ts';
import { HandClock } from '../../../../support/hand-clock.ts';

test('F09 while the trash is emptied no path in it is deleted by another hand, and the reverse', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'troupe-trash-'));
  try {
    // two deletions of one tree: each may take what the other has just deleted for a failure
    let atOnce = 0;
    let most = 0;
    const calls: string[] = [];
    const gate = async <T>(call: () => Promise<T>): Promise<T> => {
      atOnce += 1;
      most = Math.max(most, atOnce);
      calls.push('call');
      await new Promise((resolve) => setImmediate(resolve));
      const result = await call();
      atOnce -= 1;
      return result;
    };
    const empty = async () => {
      calls.push('worker');
      atOnce += 1;
      most = Math.max(most, atOnce);
      await new Promise((resolve) => setImmediate(resolve));
      for (const name of readdirSync(directory)) rmSync(join(directory, name), { recursive: true });
      atOnce -= 1;
      return { kind: 'empty' as const, entries: 1, freedBytes: 0, kept: [], problem: undefined };
    };
    const clock = new HandClock();
    const conditions = new Conditions(silentLog);
    const trash = new Trash({
      directory,
      pool: { start: () => ({ result: empty(), cancel: () => undefined }) },
      gate,
      newName: () => 'x',
      clock,
      log: silentLog,
      conditions,
    });
    for (const name of ['a', 'b']) mkdirSync(join(directory, name, 'inner'), { recursive: true });
    trash.later(join(directory, 'a'));
    const emptied = trash.empty();
    trash.later(join(directory, 'b'));
    await emptied;
    await trash.settled();
    expect({ most, calls }).toEqual({ most: 1, calls: ['call', 'call', 'worker', 'call'] });
    expect(existsSync(join(directory, 'a'))).toBe(false);
    expect(readdirSync(directory)).toEqual([]);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
