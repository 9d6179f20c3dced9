/**
 * Programs of containers, which earlier versions wrote into the journal, and damaged files, which hold any bytes (S91).
 */
import { describe, expect, it } from 'vitest';
import { recordedSpec } from '../../../src/actors/effects/recorded.ts';
import type { JournalRecord } from '../../../src/ports/journal.ts';
import type { ContainerId } from '../../../src/base/ids.ts';
import { maskedBytes } from '../../../src/journal/damaged.ts';
import { frame, header, parse } from '../../../src/journal/format.ts';
import { ledgerFold } from '../../../src/actors/ledger/ledger.ts';
import { findInBytes } from '../../support/canaries.ts';
import { containerSpec, digest, imageId } from '../actors/fixtures.ts';
import { DiskModel } from '../../sim/disk-model.ts';
import { randomStream } from '../../sim/random.ts';
import { records, Rig, textOf } from './support.ts';

const CANARIES = ['canary-env-value', 'canary-argument', 'canary-command'];
const id = (n: number): ContainerId => n.toString(16).padStart(64, 'c') as ContainerId;

/** As versions before this one wrote it: the types of today refuse it. */
function olderIntent(n: number): JournalRecord {
  const program = {
    command: ['sh', '-c', 'canary-command'],
    args: ['--token=canary-argument'],
    env: [{ name: 'A', value: `canary-env-value-${n}` }],
  };
  const spec = { ...recordedSpec(containerSpec({ env: [] })), ...program };
  return {
    type: 'container.intent',
    id: id(n),
    spec,
    image: { id: imageId(), ref: 'nginx', layers: [digest('5')] },
    createdAtNs: 5n,
  } as never;
}

const older: readonly JournalRecord[] = [...records(6), ...[0, 1, 2, 3].map(olderIntent)];
const bytesOf = (all: readonly JournalRecord[]): Uint8Array =>
  new Uint8Array(Buffer.concat([header(), ...all.map(frame)]));

function diskWith(files: Readonly<Record<string, Uint8Array>>): DiskModel {
  const model = new DiskModel();
  for (const [name, bytes] of Object.entries(files)) model.put(name, bytes);
  return model;
}

/** Files in which a canary stands, also after each of some power losses. */
function leaks(model: DiskModel): string[] {
  const copies = [
    model,
    ...Array.from({ length: 20 }, (_none, draw) => {
      const copy = model.clone();
      copy.losePower(randomStream(draw, 'power'));
      return copy;
    }),
  ];
  return copies.flatMap((copy) =>
    copy.list().filter((name) => findInBytes(copy.read(name) ?? new Uint8Array(), CANARIES).length > 0),
  );
}

describe('a journal with the programs of containers in it', () => {
  it('S91 is rewritten without them at the first start, and nothing else of it is lost', async () => {
    const model = diskWith({ 'journal.7': bytesOf(older) });
    expect(leaks(model)).not.toEqual([]);
    const { state, report } = await new Rig(model).open();
    expect(report.records).toBe(older.length);
    expect(state.containers.get(id(2))?.intent.spec).toEqual(recordedSpec(containerSpec()));
    expect(leaks(model)).toEqual([]);
    expect(textOf((await new Rig(model).open()).state)).toBe(textOf(state));
  });

  it('S91 uses the reserve for that on a full disk', async () => {
    const model = diskWith({ 'journal.7': bytesOf(older), 'journal.reserve': new Uint8Array(512 * 1024) });
    model.capacityBytes = model.usedBytes();
    await new Rig(model).open();
    expect(leaks(model)).toEqual([]);
  });

  it('S91 F21 is used where even that is too little, and rewritten once the disk has space again', async () => {
    const model = diskWith({ 'journal.7': bytesOf(older) });
    model.capacityBytes = model.usedBytes();
    const { journal, state } = await new Rig(model).open();
    expect(state.containers.size).toBe(4);
    await journal.append([{ type: 'container.removed', id: id(3) }], { sync: true }).catch(() => undefined);
    model.capacityBytes = Number.MAX_SAFE_INTEGER;
    await journal.append(records(1), { sync: true });
    expect(leaks(model)).toEqual([]);
    expect(textOf((await new Rig(model).open()).state)).toBe(textOf(state));
  });

  it('S91 is deleted with the first records that follow where the disk refused that at the start', async () => {
    const model = diskWith({ 'journal.6': bytesOf(older), 'journal.7': bytesOf(older) });
    const rig = new Rig(model);
    // a new file is made only where its name could be cleared
    let cleared = false;
    rig.trouble = (_at, operation) => {
      if (operation !== 'unlink') return undefined;
      const isFirst = !cleared;
      cleared = true;
      return isFirst ? undefined : 'EIO';
    };
    const { journal, state } = await rig.open();
    expect(leaks(model)).toContain('journal.6');
    expect(leaks(model)).toContain('journal.7');
    await journal.append(records(1), { sync: true });
    expect(leaks(model)).toContain('journal.7');
    rig.trouble = () => undefined;
    await journal.append(records(1), { sync: true });
    expect(leaks(model)).toEqual([]);
    const before = rig.operations.length;
    await journal.append(records(1), { sync: true });
    expect(rig.operations.slice(before)).not.toContain('unlink');
    expect(textOf((await new Rig(model).open()).state)).toBe(textOf(state));
  });

  it('S91 has none of them in the folded state and its snapshot', () => {
    const state = ledgerFold.empty();
    for (const record of older) ledgerFold.apply(state, record);
    expect(findInBytes(bytesOf(ledgerFold.records(state)), CANARIES)).toEqual([]);
  });
});

describe('a damaged journal that is kept', () => {
  it('S91 holds no byte of a program, whatever byte was flipped', async () => {
    const whole = bytesOf(older);
    for (let at = 0; at < whole.length; at += 37) {
      const bytes = whole.slice();
      bytes[at] = (bytes[at] ?? 0) ^ 0xff;
      const model = diskWith({ 'journal.7': bytes });
      const { report } = await new Rig(model).open();
      for (const name of model.list())
        expect([at, name, findInBytes(model.read(name) ?? new Uint8Array(), CANARIES)]).toEqual([
          at,
          name,
          [],
        ]);
      if (report.keptAs !== '') expect(model.read(report.keptAs)).toHaveLength(bytes.length);
    }
  });

  it('S91 an earlier start kept is masked durably, once', async () => {
    const model = diskWith({
      'journal.2.damaged': bytesOf(older).subarray(5),
      'journal.7': bytesOf(records(3)),
    });
    await new Rig(model).open();
    expect(leaks(model)).toEqual([]);
    const once = model.read('journal.2.damaged');
    const again = new Rig(model);
    await again.open();
    expect(model.read('journal.2.damaged')).toEqual(once);
    expect(again.operations).not.toContain('writeAgain');
  });

  it('S91 is truncated where it can’t be overwritten, and its name stays', async () => {
    const model = diskWith({
      'journal.2.damaged': bytesOf(older).subarray(5),
      'journal.7': bytesOf(records(3)),
    });
    const rig = new Rig(model);
    rig.trouble = (_at, operation) => (operation === 'writeAgain' ? 'ENOSPC' : undefined);
    const { report } = await rig.open();
    expect(report.damagedKept).toEqual(['journal.2.damaged']);
    expect(model.read('journal.2.damaged')).toHaveLength(0);
  });

  it('S91 does not stop the start where it cannot be written', async () => {
    const model = diskWith({
      'journal.2.damaged': bytesOf(older).subarray(5),
      'journal.7': bytesOf(records(3)),
    });
    const rig = new Rig(model);
    rig.trouble = (at, operation) =>
      ['openAt', 'writeAgain'].includes(operation) && at > 0 ? 'EIO' : undefined;
    expect((await rig.open()).state.sandboxes.size).toBe(1);
  });
});

describe('the mask', () => {
  const damaged = bytesOf(older).slice();
  const at = header().length + 60;
  damaged.fill(0, at, at + 20);
  const masked = maskedBytes(damaged, (record) => ledgerFold.withoutSecrets(record));

  it('S91 keeps lengths, zeros and whole records', () => {
    expect(masked).toHaveLength(damaged.length);
    expect([...masked.subarray(at, at + 20)]).toEqual(Array.from({ length: 20 }, () => 0));
    const second = header().length + frame(older[0] as JournalRecord).length;
    const rest = parse(new Uint8Array(Buffer.concat([header(), masked.subarray(second)])));
    expect([rest.end, rest.records.map(({ type }) => type)]).toEqual([
      'whole',
      older.slice(1).map(({ type }) => type),
    ]);
  });

  it('S91 is applied to a copy, also of a real disk’s bytes, or no change would be detected', () => {
    const read = Buffer.from(damaged);
    const again = maskedBytes(read, (record) => ledgerFold.withoutSecrets(record));
    expect(Buffer.compare(again, masked)).toBe(0);
    expect(Buffer.compare(read, damaged)).toBe(0);
    expect(Buffer.compare(again, read)).not.toBe(0);
  });

  it('S91 masks a record without its frame, and one that is a record by its checksum alone', () => {
    const body = new TextEncoder().encode('{"a":"canary-env-value"}');
    expect(Buffer.from(maskedBytes(body, (record) => record)).toString()).toBe('x'.repeat(body.length));
    for (const record of [null, 'canary-env-value', { a: 'canary-env-value' }]) {
      expect(
        findInBytes(
          maskedBytes(frame(record as never), (same) => same),
          CANARIES,
        ),
      ).toEqual([]);
    }
  });
});
