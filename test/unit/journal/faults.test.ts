/** The journal on a disk that refuses, lies, fills up, and loses power. */
import { describe, expect, it } from 'vitest';
import { journalLimits } from '../../../src/journal/bounds.ts';
import type { JournalRecord } from '../../../src/ports/journal.ts';
import { ledgerFold } from '../../../src/actors/ledger/ledger.ts';
import { randomStream } from '../../sim/random.ts';
import { EXHAUSTIVE } from '../../support/exhaustive.ts';
import { intentNumber, prefixTexts, recordNumber, Rig, textOf } from './support.ts';
import type { Trouble } from './support.ts';
import { alive, all, appendAll, expectPrefix, texts, untilPause } from './whole-prefix.ts';

/** Runs to the end with the trouble at each disk operation in turn. */
async function sweep(
  trouble: Trouble,
  each: (rig: Rig, durable: number, at: number) => Promise<void>,
): Promise<number> {
  const calm = new Rig();
  await appendAll(calm);
  for (let at = 0; at < calm.operations.length; at += 1) {
    const rig = new Rig();
    rig.trouble = (now) => (now === at ? trouble : undefined);
    await each(rig, await appendAll(rig), at);
  }
  return calm.operations.length;
}

/** No new file yet, but what was refused can be taken back: it is answered as refused; only record 0 is ever read. */
async function expectTakenBack(rig: Rig, refused: Promise<void>): Promise<void> {
  await untilPause(rig);
  rig.trouble = (_now, operation) => (operation === 'create' ? 'EIO' : undefined);
  rig.tick();
  await refused;
  await expectPrefix(rig, 1);
}

describe('journal on a bad disk', () => {
  for (const trouble of ['dieBefore', 'dieAfter'] as const) {
    it(`F20 ${trouble} each disk operation, then a power loss: every record answered as durable is there, and the rest is a prefix`, async () => {
      const operations = await sweep(trouble, async (rig, durable, at) => {
        for (let draw = 0; draw < 20; draw += 1) {
          const copy = rig.model.clone();
          copy.losePower(randomStream(at * 100 + draw, 'power'));
          const { state } = await new Rig(copy).open();
          expect([at, draw, texts.slice(durable, durable + 2).includes(textOf(state))]).toStrictEqual([
            at,
            draw,
            true,
          ]);
        }
      });
      expect(operations).toBeGreaterThan(24);
    });
  }

  it(
    'F20 die at each disk operation of a compaction, then a power loss',
    { tags: [EXHAUSTIVE] },
    async () => {
      const big = (n: number): JournalRecord => {
        const record = intentNumber(n * 5);
        return { ...record, spec: { ...record.spec, labels: { pad: 'x'.repeat(9_000_000) } } };
      };
      const removed = (n: number): JournalRecord => ({ type: 'sandbox.removed', id: intentNumber(n * 5).id });
      const history = [big(0), removed(0), big(1), removed(1), intentNumber(20), intentNumber(25)];
      const expected = prefixTexts(history);
      const calm = new Rig();
      const opening = await calm.open();
      for (const record of history) await opening.journal.append([record], { sync: true });
      // of the first file, of the reserve, of the compaction
      const renames = calm.operations.flatMap((name, at) => (name === 'rename' ? [at] : []));
      expect(renames).toHaveLength(3);
      const rename = renames[2] ?? 0;
      for (let at = rename - 4; at < rename + 6; at += 1) {
        const rig = new Rig();
        rig.trouble = (now) => (now === at ? 'dieAfter' : undefined);
        const opened = await alive(rig, rig.open());
        let durable = 0;
        for (const record of opened === undefined ? [] : history) {
          if (
            (await alive(
              rig,
              opened?.journal.append([record], { sync: true }).then(() => true) ?? Promise.resolve(false),
            )) !== true
          )
            break;
          durable += 1;
        }
        rig.model.losePower(randomStream(at, 'power'));
        const { state } = await rig.next().open();
        const read = expected.map((text, index) => (text === textOf(state) ? index : -1));
        expect([at, read.includes(durable) || read.includes(durable + 1)]).toStrictEqual([at, true]);
      }
    },
  );

  it('F20 unsynced records of an earlier boot are synced before anybody sees them', async () => {
    const rig = new Rig();
    const { journal } = await rig.open();
    await journal.append([recordNumber(0)], { sync: true });
    rig.trouble = (_now, operation) => (operation === 'sync' ? 'dieBefore' : undefined);
    await alive(rig, journal.append([recordNumber(1)], { sync: true }));
    const second = rig.next();
    expect(textOf((await second.open()).state)).toBe(texts[2]);
    for (let draw = 0; draw < 20; draw += 1) {
      const copy = second.model.clone();
      copy.losePower(randomStream(draw, 'power'));
      expect(textOf((await new Rig(copy).open()).state)).toBe(texts[2]);
    }
  });

  it('F19 a record dropped by a failed sync of an earlier boot is not shown from memory alone (sim seed 2155)', async () => {
    const rig = new Rig();
    const { journal } = await rig.open();
    await journal.append([recordNumber(0)], { sync: true });
    const from = rig.operations.length;
    // the append's sync fails and drops the pages; then the daemon dies before it can do anything about it
    rig.trouble = (now) => (now === from + 1 ? 'EIO' : now > from + 1 ? 'dieBefore' : undefined);
    await alive(
      rig,
      journal.append([recordNumber(1)], { sync: true }).catch(() => undefined),
    );
    const second = rig.next();
    const shown = textOf((await second.open()).state);
    second.model.losePower(randomStream(1, 'power'));
    expect(textOf((await new Rig(second.model).open()).state)).toBe(shown);
  });

  it('F19 EIO at each disk operation: an append answered as durable is durable, a refused one leaves no trace', async () => {
    const calm = new Rig();
    await appendAll(calm);
    for (let at = 0; at < calm.operations.length; at += 1) {
      const rig = new Rig();
      rig.trouble = (now) => (now === at ? 'EIO' : undefined);
      const opened = await rig.open().catch(() => undefined);
      const kept: JournalRecord[] = [];
      for (const record of opened === undefined ? [] : all) {
        await opened?.journal.append([record], { sync: true }).then(
          () => kept.push(record),
          () => undefined,
        );
      }
      const state = ledgerFold.empty();
      for (const record of kept) ledgerFold.apply(state, record);
      if (opened !== undefined) expect([at, textOf(opened.state)]).toStrictEqual([at, textOf(state)]);
      rig.model.losePower(randomStream(at, 'power'));
      expect([at, textOf((await rig.next().open()).state)]).toStrictEqual([at, textOf(state)]);
    }
  });

  it('F19 after a failed sync and a failed new file the append is refused and never read back', async () => {
    const rig = new Rig();
    const { journal, state } = await rig.open();
    await journal.append([recordNumber(0)], { sync: true });
    let bad = true;
    let syncs = 0;
    rig.trouble = (_now, operation) => {
      if (!bad || (operation !== 'sync' && operation !== 'create')) return undefined;
      // the sync after the cut is the second one
      syncs += operation === 'sync' ? 1 : 0;
      return operation === 'sync' && syncs > 1 ? undefined : 'EIO';
    };
    await expect(journal.append([recordNumber(1)], { sync: true })).rejects.toMatchObject({
      fault: { kind: 'outside' },
    });
    for (let draw = 0; draw < 20; draw += 1) {
      const copy = rig.model.clone();
      copy.losePower(randomStream(draw, 'power'));
      expect(textOf((await new Rig(copy).open()).state)).toBe(texts[1]);
    }
    bad = false;
    await journal.append([intentNumber(10)], { sync: true });
    rig.model.losePower(randomStream(1, 'power'));
    expect(textOf((await rig.next().open()).state)).toBe(textOf(state));
  });

  it('F19 a new file refused after its rename is deleted although it can’t be closed (sim seed 9388)', async () => {
    const rig = new Rig();
    const { journal } = await rig.open();
    await journal.append([recordNumber(0)], { sync: true });
    const from = rig.operations.length;
    rig.trouble = (now, operation) => {
      if (now <= from) return undefined;
      // the append's own sync, then the directory's after the rename, then each close
      const renamed =
        rig.operations.slice(from).includes('rename') &&
        !rig.operations.slice(from).includes('syncDirectory');
      return now === from + 1 || (operation === 'syncDirectory' && renamed) || operation === 'close'
        ? 'EIO'
        : undefined;
    };
    await expect(journal.append([recordNumber(1)], { sync: true })).rejects.toThrow('EIO');
    await expectPrefix(rig, 1);
  });

  it('F19 a record that is neither written nor withdrawn is not answered as refused, but later ones are', async () => {
    const rig = new Rig();
    const { journal, state } = await rig.open();
    await journal.append([recordNumber(0)], { sync: true });
    rig.trouble = (_now, operation) => (operation === 'sync' || operation === 'openAt' ? 'EIO' : undefined);
    const outcomes: string[] = [];
    const first = journal
      .append([recordNumber(1)], { sync: true })
      .then(() => outcomes.push('first is written'));
    await untilPause(rig);
    const later = expect(journal.append([intentNumber(10)], { sync: true })).rejects.toThrow('EIO');
    rig.tick();
    await later;
    await untilPause(rig);
    expect([outcomes, textOf(state)]).toStrictEqual([[], texts[1]]);
    rig.trouble = () => undefined;
    rig.tick();
    await first;
    expect([outcomes, textOf(state)]).toStrictEqual([['first is written'], texts[2]]);
    await expectPrefix(rig, 2);
  });

  it('F19 a record withdrawn at last is answered as refused and never read again', async () => {
    const rig = new Rig();
    const { journal } = await rig.open();
    await journal.append([recordNumber(0)], { sync: true });
    rig.trouble = (_now, operation) => (operation === 'sync' || operation === 'openAt' ? 'EIO' : undefined);
    const refused = expect(journal.append([recordNumber(1)], { sync: true })).rejects.toThrow('EIO');
    await expectTakenBack(rig, refused);
  });

  it('F19 a refused new file that may come back is waited for, too, also when the start fell back to the old one', async () => {
    const rig = new Rig();
    const { journal } = await rig.open();
    await journal.append([recordNumber(0)], { sync: true });
    let syncs = 0;
    rig.trouble = (_now, operation) => {
      if (operation === 'sync') syncs += 1;
      return operation === 'syncDirectory' || (operation === 'sync' && syncs === 1) ? 'EIO' : undefined;
    };
    const refused = expect(journal.append([recordNumber(1)], { sync: true })).rejects.toThrow('EIO');
    await expectTakenBack(rig, refused);
    const full = rig.next();
    full.trouble = (_now, operation) => (operation === 'syncDirectory' ? 'ENOSPC' : undefined);
    await expect(full.open()).rejects.toMatchObject({ code: 'ENOSPC' });
  });

  it('F12 F19 close ends the wait for a record in doubt; so does its bound', async () => {
    const badDisk = async () => {
      const rig = new Rig();
      const opened = await rig.open();
      rig.trouble = (_now, operation) => (operation === 'sync' || operation === 'openAt' ? 'EIO' : undefined);
      return {
        rig,
        close: opened.close,
        refused: expect(opened.journal.append([recordNumber(0)], { sync: true })).rejects.toThrow('EIO'),
      };
    };
    const closed = await badDisk();
    await untilPause(closed.rig);
    await closed.close();
    await closed.refused;
    const bounded = await badDisk();
    for (let tries = 1; tries < journalLimits.doubtTries; tries += 1) {
      await untilPause(bounded.rig);
      bounded.rig.tick();
    }
    await bounded.refused;
    expect(bounded.rig.pauses).toBe(0);
  });
});
