/**
 * The journal on a disk that is full and refuses syncs, each in the other's way. Short files, so that they are
 * compacted soon.
 */
import { afterAll, describe, expect, it, vi } from 'vitest';
import type { JournalRecord } from '../../../src/ports/journal.ts';
import type { OpenJournal } from '../../../src/journal/journal.ts';
import { silentLog } from '../../../src/base/log.ts';
import type * as Limits from '../../../src/journal/bounds.ts';
import type { Ledger } from '../../../src/actors/ledger/ledger.ts';
import { randomStream } from '../../sim/random.ts';
import { intentNumber, Rig, textOf } from './support.ts';

// test files share a process: modules loaded before this file keep the real one, those loaded here the mock
vi.hoisted(() => vi.resetModules());
// at once, since nothing runs after a file whose tests are all skipped; and what is loaded later
vi.resetModules();
afterAll(() => vi.resetModules());

vi.mock('../../../src/journal/bounds.ts', async (original) => {
  const limits = await original<typeof Limits>();
  return {
    ...limits,
    journalLimits: { ...limits.journalLimits, compactAfterBytes: 10_000, reserveBytes: 4000 },
  };
});

/** Without a wait for the answer of an unsynced append: the disk of the rig answers within microtasks. */
async function settled(): Promise<void> {
  for (let hop = 0; hop < 100; hop += 1) await Promise.resolve();
}

const stopped = (n: number): JournalRecord => ({ type: 'sandbox.stopped', id: intentNumber(n).id, owed: [] });
const removed = (n: number): JournalRecord => ({ type: 'sandbox.removed', id: intentNumber(n).id });

async function expectSame(rig: Rig, { state }: OpenJournal<Ledger>): Promise<void> {
  const reported = textOf(state);
  for (let draw = 0; draw < 20; draw += 1) {
    const copy = rig.model.clone();
    copy.losePower(randomStream(draw, 'power'));
    expect(textOf((await new Rig(copy).open()).state)).toBe(reported);
  }
}

describe('journal on a disk that is full and bad', () => {
  it('F19 F21 a file whose sync failed after a short write was cut is not written again, or a durable record would follow a hole', async () => {
    const rig = new Rig();
    const opened = await rig.open();
    await opened.journal.append([intentNumber(0)], { sync: true });
    await opened.journal.append([intentNumber(5)], { sync: false });
    await settled();
    const from = rig.operations.length;
    rig.trouble = (_at, operation) => {
      const isFirst = !rig.operations.slice(from).includes(operation);
      if (operation === 'append' && isFirst) return 'short';
      // drops the pages of the unsynced record
      if (operation === 'sync' && isFirst) return 'EIO';
      return operation === 'create' ? 'ENOSPC' : undefined;
    };
    await expect(opened.journal.append([intentNumber(10)], { sync: true })).rejects.toThrow('ENOSPC');
    rig.trouble = () => undefined;
    await opened.journal.append([intentNumber(15)], { sync: true });
    await expectSame(rig, opened);
  });

  it('F19 F21 a start on a full disk rewrites what it read, since an earlier boot’s failed sync may have dropped it', async () => {
    const first = new Rig();
    const { journal } = await first.open();
    await journal.append([intentNumber(0)], { sync: true });
    const from = first.operations.length;
    first.trouble = (now) => (now === from + 1 ? 'EIO' : now > from + 1 ? 'dieBefore' : undefined);
    void journal.append([intentNumber(5)], { sync: true });
    await settled();
    const second = first.next();
    second.model.capacityBytes = second.model.usedBytes() + 10;
    const opened = await second.open();
    expect(second.model.list()).toContain('journal.1');
    await expectSame(second, opened);
    second.model.capacityBytes = Number.MAX_SAFE_INTEGER;
    await opened.journal.append([intentNumber(10)], { sync: true });
    await expectSame(second, opened);
  });

  it('F21 where a compaction has no space, what fits in the old file is still written; with space it is compacted', async () => {
    const rig = new Rig();
    const opened = await rig.open();
    for (let n = 0; n < 20; n += 1) await opened.journal.append([intentNumber(5 * n)], { sync: true });
    const journals = () => rig.model.list().filter((name) => /\.\d+$/u.test(name));
    const [before] = journals();
    rig.model.capacityBytes = rig.model.usedBytes() + 500;
    for (let n = 0; n < 12; n += 1)
      await opened.journal.append([{ type: 'sandbox.stopped', id: intentNumber(5 * n).id, owed: [] }], {
        sync: true,
      });
    expect(journals()).toStrictEqual([before]);
    await expectSame(rig, opened);
    rig.model.capacityBytes = Number.MAX_SAFE_INTEGER;
    for (let n = 20; n < 45; n += 1) await opened.journal.append([intentNumber(5 * n)], { sync: true });
    expect(journals()).not.toStrictEqual([before]);
    expect(rig.model.list()).toContain('journal.reserve');
    await expectSame(rig, opened);
  });

  it('F21 intents never use the reserve: after any number of refused ones running pods can be stopped and removed', async () => {
    const rig = new Rig();
    const opened = await rig.open();
    await opened.journal.append([intentNumber(0)], { sync: true });
    rig.model.capacityBytes = rig.model.usedBytes() + 100;
    for (let n = 1; n <= 50; n += 1) {
      await expect(opened.journal.append([intentNumber(5 * n)], { sync: true })).rejects.toMatchObject({
        fault: { kind: 'exhausted' },
      });
    }
    expect(rig.model.list()).toContain('journal.reserve');
    await opened.journal.append([stopped(0)], { sync: true });
    await opened.journal.append([removed(0)], { sync: true });
    expect(opened.state.sandboxes.size).toBe(0);
    await expectSame(rig, opened);
  });

  it('F21 without the reserve intents are refused; it is made again once there is space, without a restart', async () => {
    const rig = new Rig();
    const opened = await rig.open();
    await opened.journal.append([intentNumber(0), intentNumber(5)], { sync: true });
    rig.model.capacityBytes = rig.model.usedBytes();
    await opened.journal.append([stopped(0)], { sync: true });
    expect(rig.model.list()).not.toContain('journal.reserve');
    // it would fit
    await expect(opened.journal.append([intentNumber(10)], { sync: true })).rejects.toMatchObject({
      fault: {
        kind: 'exhausted',
        message: expect.stringMatching(
          /no space left: could not reserve 4000 bytes for stops and removals: ENOSPC/u,
        ) as string,
      },
    });
    expect(rig.model.list().filter((name) => name.endsWith('.new'))).toStrictEqual([]);
    await opened.journal.append([stopped(5)], { sync: true });
    rig.model.capacityBytes += 10_000;
    await opened.journal.append([intentNumber(10)], { sync: true });
    expect(rig.model.list()).toContain('journal.reserve');
    await expectSame(rig, opened);
  });

  it('F21 of ends and intents that wait for one sync the ends are written in order, the intents refused', async () => {
    const rig = new Rig();
    const opened = await rig.open();
    await opened.journal.append([intentNumber(0), intentNumber(5)], { sync: true });
    rig.model.capacityBytes = rig.model.usedBytes() + 10;
    const outcomes = await Promise.allSettled([
      opened.journal.append([intentNumber(10)], { sync: true }),
      opened.journal.append([stopped(0)], { sync: true }),
      opened.journal.append([intentNumber(15)], { sync: true }),
      opened.journal.append([removed(0)], { sync: true }),
      opened.journal.append([stopped(5)], { sync: true }),
    ]);
    expect(outcomes.map(({ status }) => status)).toStrictEqual([
      'rejected',
      'fulfilled',
      'rejected',
      'fulfilled',
      'fulfilled',
    ]);
    expect([...opened.state.sandboxes.keys()]).toStrictEqual([intentNumber(5).id]);
    await expectSame(rig, opened);
  });

  it('F19 F21 the second part of such a group is refused when the first is in doubt', async () => {
    const rig = new Rig();
    const opened = await rig.open();
    await opened.journal.append([intentNumber(0)], { sync: true });
    const { capacityBytes } = rig.model;
    rig.model.capacityBytes = rig.model.usedBytes() + 10;
    // full for the group, then broken for its parts
    rig.trouble = (_at, operation) => {
      if (operation !== 'create') return undefined;
      rig.model.capacityBytes = capacityBytes;
      rig.trouble = (_later, name) => (name === 'sync' || name === 'openAt' ? 'EIO' : undefined);
      return 'ENOSPC';
    };
    let first = 'waits';
    const begun = opened.journal.append([intentNumber(10)], { sync: true }).then(() => {
      first = 'written';
    });
    await expect(opened.journal.append([stopped(0)], { sync: true })).rejects.toThrow('EIO');
    expect(first).toBe('waits');
    rig.trouble = () => undefined;
    rig.tick();
    await begun;
    await expectSame(rig, opened);
  });

  it('F21 F25 a refusal by the disk is logged once, another reason once more, and their number when it works again', async () => {
    const rig = new Rig();
    const lines: string[] = [];
    const reported = (fields: object, message: string): void =>
      void lines.push(`${message} ${JSON.stringify(fields)}`);
    rig.log = { ...silentLog, info: reported, warn: reported, error: reported };
    const { journal } = await rig.open();
    const { capacityBytes } = rig.model;
    const refuse = async () => {
      for (let n = 0; n < 100; n += 1)
        await journal.append([intentNumber(5)], { sync: true }).catch(() => undefined);
    };
    await journal.append([intentNumber(0)], { sync: true });
    rig.model.capacityBytes = rig.model.usedBytes();
    await refuse();
    // an end that fits is no news, and the last one takes the reserve
    for (let n = 0; n < 3; n += 1) {
      await journal.append([stopped(0)], { sync: true });
      await refuse();
    }
    rig.trouble = (_at, operation) =>
      ['append', 'openAt', 'create', 'rename', 'unlink'].includes(operation) ? 'EROFS' : undefined;
    await refuse();
    expect(lines.length).toBeLessThan(8);
    expect(lines.filter((line) => line.includes('write failed'))).toStrictEqual([
      expect.stringContaining('ENOSPC') as string,
      expect.stringContaining('EROFS') as string,
    ]);
    rig.trouble = () => undefined;
    rig.model.capacityBytes = capacityBytes;
    lines.length = 0;
    for (let n = 1; n < 10; n += 1) await journal.append([intentNumber(5 * n)], { sync: true });
    expect(lines).toStrictEqual([
      expect.stringMatching(/^journal: the disk accepts records again \{"refusals":[5-9]\d\d\}$/u) as string,
    ]);
  });

  it('F12 F19 close settles although the last sync fails, since no caller was refused', async () => {
    const rig = new Rig();
    const opened = await rig.open();
    await opened.journal.append([intentNumber(0)], { sync: false });
    rig.trouble = (_at, operation) => (operation === 'sync' || operation === 'close' ? 'EIO' : undefined);
    await opened.close();
    expect(rig.operations.at(-1)).toBe('close');
  });
});
