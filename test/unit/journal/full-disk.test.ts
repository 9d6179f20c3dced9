/** The journal on a disk that is full or read-only, and what it refuses by its own bounds. */
import { describe, expect, it } from 'vitest';
import { journalLimits } from '../../../src/journal/bounds.ts';
import type { JournalRecord } from '../../../src/ports/journal.ts';
import { frame } from '../../../src/journal/format.ts';
import { DiskModel } from '../../sim/disk-model.ts';
import { intentNumber, recordNumber, Rig, textOf } from './support.ts';
import { injects } from '../../support/faults/injects.ts';
import { all, expectPrefix, texts } from './whole-prefix.ts';

const readOnly = injects('F25', 'EROFS from each write of the journal');
const noSpace = injects('F21', 'the disk of the journal is full');

describe('journal that takes no more', () => {
  it('F25 a disk turned read-only refuses at once, and nothing of the record is written', async () => {
    const rig = new Rig();
    const { journal } = await rig.open();
    await journal.append([recordNumber(0)], { sync: true });
    rig.trouble = (_now, operation) =>
      ['append', 'openAt', 'create', 'rename', 'unlink'].includes(operation) ? 'EROFS' : undefined;
    for (const record of [recordNumber(1), recordNumber(1)]) {
      await expect(journal.append([record], { sync: true })).rejects.toThrow('EROFS');
    }
    readOnly.happened(2);
    expect(rig.pauses).toBe(0);
    rig.trouble = () => undefined;
    await journal.append([recordNumber(1)], { sync: true });
    await expectPrefix(rig, 2);
  });

  it('F21 on a full disk the reserve takes the records of ends; then appends are refused and leave nothing', async () => {
    const model = new DiskModel();
    const rig = new Rig(model);
    const { journal, state } = await rig.open();
    await journal.append(all, { sync: true });
    await journal.append([intentNumber(50)], { sync: true });
    model.capacityBytes = model.usedBytes() + 10;
    const end: JournalRecord = { type: 'sandbox.stopped', id: intentNumber(50).id, owed: ['network'] };
    let written = 0;
    for (let n = 0; n < 10_000; n += 1) {
      const before = textOf(state);
      const outcome = await journal.append([end], { sync: true }).then(
        () => 'ok',
        (thrown: unknown) => thrown,
      );
      if (outcome === 'ok') {
        written += frame(end).length;
        continue;
      }
      expect(outcome).toMatchObject({ fault: { kind: 'exhausted' } });
      noSpace.happened();
      expect(textOf(state)).toBe(before);
      break;
    }
    expect(written).toBeGreaterThan(journalLimits.reserveBytes * 0.9);
    expect(model.list().filter((name) => name.endsWith('.new'))).toStrictEqual([]);
    const full = new Rig(model);
    expect(textOf((await full.open()).state)).toBe(textOf(state));
    // space comes back
    model.capacityBytes = Number.MAX_SAFE_INTEGER;
    await journal.append([intentNumber(10)], { sync: true });
    expect(textOf((await rig.next().open()).state)).toBe(textOf(state));
    expect(model.list()).toContain('journal.reserve');
  });

  it('F21 a full disk does not stop a start, and a partial reserve is not counted', async () => {
    const model = new DiskModel();
    const { journal } = await new Rig(model).open();
    await journal.append(all, { sync: true });
    model.unlink('journal.reserve');
    model.capacityBytes = model.usedBytes() + 100_000;
    expect(textOf((await new Rig(model).open()).state)).toBe(texts[12]);
    expect(model.list()).toStrictEqual(['journal.2']);
    model.capacityBytes = model.usedBytes();
    expect(textOf((await new Rig(model).open()).state)).toBe(texts[12]);
  });

  it('groups what waits for one sync, in order, and answers after it', async () => {
    const rig = new Rig();
    const { journal, state } = await rig.open();
    const answered: number[] = [];
    const before = rig.operations.length;
    const appends = all.map((record, n) =>
      journal.append([record], { sync: n % 3 !== 2 }).then(() => answered.push(n)),
    );
    expect(textOf(state)).toBe(texts[0]);
    await Promise.all(appends);
    expect(rig.operations.slice(before)).toStrictEqual(['append', 'sync', 'append', 'sync']);
    expect(answered.filter((n) => n % 3 !== 2)).toStrictEqual([0, 1, 3, 4, 6, 7, 9, 10]);
    expect(textOf(state)).toBe(texts[12]);
    expect(textOf((await rig.next().open()).state)).toBe(texts[12]);
  });

  it('refuses what is above its bounds and goes on', async () => {
    const rig = new Rig();
    const { journal, state } = await rig.open();
    const huge = intentNumber(0);
    const tooLarge = { ...huge, spec: { ...huge.spec, hostname: 'x'.repeat(journalLimits.recordBytes) } };
    await expect(journal.append([tooLarge], { sync: true })).rejects.toMatchObject({
      fault: { kind: 'exhausted' },
    });
    const many = Array.from({ length: journalLimits.pendingAppends + 2 }, () =>
      journal.append([huge], { sync: true }),
    );
    const results = await Promise.allSettled(many);
    expect(results.filter((result) => result.status === 'rejected')).toHaveLength(1);
    expect(textOf(state)).toBe(texts[1]);
  });

  it('is closed for good by close()', async () => {
    const { journal, close } = await new Rig().open();
    const last = journal.append([recordNumber(0)], { sync: true });
    await close();
    await last;
    await expect(journal.append([recordNumber(1)], { sync: true })).rejects.toMatchObject({
      fault: { kind: 'notReady' },
    });
  });
});
