/** Damage of a whole journal of 50 records, byte by byte. */
import { describe, expect, it } from 'vitest';
import { crc32c } from '../../../src/journal/crc32c.ts';
import { maskedBytes } from '../../../src/journal/damaged.ts';
import { FORMAT, frame, header, parse } from '../../../src/journal/format.ts';
import { DiskModel } from '../../sim/disk-model.ts';
import { EXHAUSTIVE } from '../../support/exhaustive.ts';
import { injects } from '../../support/faults/injects.ts';
import { prefixTexts, records, Rig, textOf } from './support.ts';

const flippedByte = injects('F18', 'a flipped byte in the middle of a journal');
const zeroSector = injects('F18', 'a sector of zeros in the middle of a journal');
const unknownRecord = injects('F93', 'a record of a type that a newer version has');
const newerFormat = injects('F30', 'a journal of a newer format');

const all = records(50);
const whole = new Uint8Array(Buffer.concat([header(), ...all.map(frame)]));
const texts = prefixTexts(all);
/** Where the header and each record end. */
const ends = all.reduce((so, record) => [...so, (so.at(-1) ?? 0) + frame(record).length], [header().length]);

/** A directory with this one journal and an older, longer-lived neighbour that must not be touched. */
function diskWith(bytes: Uint8Array): DiskModel {
  const model = new DiskModel();
  model.put('journal.7', bytes);
  model.put('unrelated', new Uint8Array([1]));
  // there already, so that not each of many thousand opens writes it
  model.put('journal.reserve', new Uint8Array(1));
  return model;
}

describe('journal damage', () => {
  it('knows the check value of CRC-32C', () => {
    expect(crc32c(new TextEncoder().encode('123456789'))).toBe(0xe3069283);
  });

  it(
    'F17 a cut at every byte leaves the whole records, and the journal goes on',
    { tags: [EXHAUSTIVE] },
    async () => {
      for (let length = 0; length <= whole.length; length += 1) {
        const model = diskWith(whole.slice(0, length));
        const { state, report, journal } = await new Rig(model).open();
        const expected = Math.max(0, ends.filter((end) => end <= length).length - 1);
        expect([length, textOf(state)]).toStrictEqual([length, texts[expected]]);
        expect([length, report.records, report.keptAs]).toStrictEqual([length, expected, '']);
        if (length % 97 !== 0) continue;
        await journal.append(all.slice(expected), { sync: true });
        const again = await new Rig(model).open();
        expect([length, textOf(again.state), again.report.droppedBytes]).toStrictEqual([
          length,
          texts[50],
          0,
        ]);
      }
    },
  );

  it(
    'F18 a flip of every byte gives a prefix, never a wrong fact, and the damaged file is kept',
    { tags: [EXHAUSTIVE] },
    async () => {
      let found = 0;
      for (let at = 0; at < whole.length; at += 1) {
        const bytes = whole.slice();
        bytes[at] = (bytes[at] ?? 0) ^ (at % 3 === 0 ? 0x80 : at % 3 === 1 ? 0xff : 0x01);
        const model = diskWith(bytes);
        const { state, report, journal } = await new Rig(model).open();
        const expected = Math.max(0, ends.filter((end) => end <= at).length - 1);
        expect([at, textOf(state)]).toStrictEqual([at, texts[expected]]);
        const last = at >= (ends[49] ?? 0);
        // a wrong last record cannot be distinguished from a torn write
        expect([at, report.keptAs]).toStrictEqual([at, last ? '' : 'journal.7.damaged']);
        if (!last) {
          expect(model.read('journal.7.damaged')).toStrictEqual(maskedBytes(bytes, (record) => record));
          found += 1;
        }
        if (at % 97 !== 0) continue;
        await journal.append(all.slice(expected), { sync: true });
        expect([at, textOf((await new Rig(model).open()).state)]).toStrictEqual([at, texts[50]]);
      }
      flippedByte.happened(found);
    },
  );

  it('F18 a sector of zeros in the middle is damage, at the end a torn write', () => {
    const middle = whole.slice();
    middle.fill(0, ends[20], (ends[20] ?? 0) + 512);
    expect(parse(middle)).toMatchObject({ end: 'damaged', validBytes: ends[20] });
    zeroSector.happened();
    const tail = Buffer.concat([whole.subarray(0, ends[20]), new Uint8Array(512)]);
    expect(parse(tail).records).toHaveLength(20);
  });

  it('F18 garbage whose every byte could begin a long record is searched in bounded time, and kept as damaged', () => {
    // every ninth byte begins what reads as a record of up to 1 MiB: 116 000 checksums, many minutes of them
    const tail = Buffer.alloc(2 * 1024 * 1024, '{');
    const length = 1024 * 1024;
    for (let at = 0; at + 16 < length; at += 9) tail.writeUInt32LE(length - at, at);
    tail.fill('}', length);
    // as a write that was torn reads
    tail.writeUInt32LE(0x7f_ff_ff_ff, 0);
    const damaged = Buffer.concat([whole, tail]);
    const { records: found, validBytes, end } = parse(damaged);
    expect([found.length, validBytes, end]).toEqual([50, whole.length, 'damaged']);
    const masked = maskedBytes(damaged, (record) => record);
    expect(Buffer.from(masked.subarray(whole.length)).includes('{')).toBe(false);
  });

  it('F18 keeps a bounded number of damaged files', async () => {
    const model = diskWith(whole.slice());
    for (let life = 0; life < 9; life += 1) {
      const name = model.list().find((one) => /^journal\.\d+$/u.test(one)) ?? '';
      model.put(name, whole.slice(0, 3000).fill(0, 300, 310));
      const { report } = await new Rig(model).open();
      expect([report.keptAs, report.damagedKept.toSorted()]).toStrictEqual([
        `${name}.damaged`,
        model.list().filter((one) => one.endsWith('.damaged')),
      ]);
    }
    expect(model.list().filter((name) => name.endsWith('.damaged')).length).toBeLessThanOrEqual(5);
  });

  it('F30 a newer format is refused with one line, and nothing is changed', async () => {
    const bytes = whole.slice();
    const view = new DataView(bytes.buffer);
    view.setUint32(8, FORMAT + 1, true);
    view.setUint32(12, crc32c(bytes.subarray(0, 12)), true);
    const rig = new Rig(diskWith(bytes));
    rig.model.put('journal.6', whole.slice());
    rig.model.put('journal.8.new', new Uint8Array(3));
    await expect(rig.open()).rejects.toMatchObject({ fault: { kind: 'unsupported' } });
    newerFormat.happened();
    await expect(rig.next().open()).rejects.toThrow(
      `format ${FORMAT + 1} by a newer troupe, this one reads up to ${FORMAT}`,
    );
    expect(rig.operations).toStrictEqual(['list', 'read']);
    expect(rig.model.list()).toStrictEqual([
      'journal.6',
      'journal.7',
      'journal.8.new',
      'journal.reserve',
      'unrelated',
    ]);
  });

  it('F93 a record of an unknown type is refused, and nothing is changed: the next snapshot would be without it', async () => {
    const unknown = { type: 'pod.moved', id: 'of a newer version' } as never;
    const rig = new Rig(diskWith(Buffer.concat([whole, frame(unknown), ...all.slice(0, 2).map(frame)])));
    await expect(rig.open()).rejects.toMatchObject({ fault: { kind: 'unsupported' } });
    unknownRecord.happened();
    await expect(rig.next().open()).rejects.toThrow(
      'record type "pod.moved" of a newer troupe; start that version again',
    );
    expect(rig.operations).toStrictEqual(['list', 'read']);
  });

  it.each([null, 7, [], { id: 'without a type' }, { type: 3 }])(
    'F18 %j in the place of a record is damage',
    (value) => {
      const parsed = parse(Buffer.concat([whole, frame(value as never), ...all.slice(0, 2).map(frame)]));
      expect([parsed.records.length, parsed.end]).toStrictEqual([all.length, 'damaged']);
    },
  );
});
