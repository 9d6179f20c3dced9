/** A journal that an older version wrote, opened by this one (F30, F31). */
import { describe, expect, it } from 'vitest';
import { crc32c } from '../../../src/journal/crc32c.ts';
import { numbersIn } from '../../../src/journal/file-names.ts';
import { FORMAT, frame, header, parse } from '../../../src/journal/format.ts';
import { DiskModel } from '../../sim/disk-model.ts';
import { randomStream } from '../../sim/random.ts';
import { injecting, injects } from '../../support/faults/injects.ts';
import { prefixTexts, recordNumber, records, Rig, textOf } from './support.ts';
import { loopTurn } from '../../support/turns.ts';

const olderFormat = injects('F30', 'a journal of an older format');
const interrupted = injects('F31', 'death or EIO at a disk operation of the migration');

const COUNT = 12;
const all = records(COUNT);
const texts = prefixTexts([...all, recordNumber(COUNT)]);
const older = new Uint8Array(Buffer.concat([headerOf(FORMAT - 1), ...all.map(frame)]));

/** The records themselves are read alike: a version that reads them otherwise brings its own test. */
function headerOf(format: number): Uint8Array {
  const bytes = header().slice();
  const view = new DataView(bytes.buffer);
  view.setUint32(8, format, true);
  view.setUint32(12, crc32c(bytes.subarray(0, 12)), true);
  return bytes;
}

function olderDisk(): DiskModel {
  const model = new DiskModel();
  model.put('journal.7', older);
  return model;
}

const newest = (model: DiskModel): string => `journal.${numbersIn(model.list())[0]}`;
const formatOf = (model: DiskModel, name: string): number =>
  parse(model.read(name) ?? new Uint8Array()).format;

describe('a journal of an older version', () => {
  it('F30 is migrated in a copy, and the old file is deleted once the copy is durable', async () => {
    const model = olderDisk();
    const { state } = await new Rig(model).open();
    expect(textOf(state)).toBe(texts[COUNT]);
    expect(newest(model)).toBe('journal.8');
    expect(formatOf(model, 'journal.8')).toBe(FORMAT);
    olderFormat.happened();
    expect(model.list()).not.toContain('journal.7');
  });

  it.each(['dieBefore', 'dieAfter', 'EIO'] as const)(
    'F31 %s at each disk operation of the migration, then a power loss: the old state or the new one is read, and the journal goes on',
    async (trouble) => {
      const calm = new Rig(olderDisk());
      await calm.open();
      const strike = injecting(interrupted, () => trouble);
      for (let at = 0; at < calm.operations.length; at += 1) {
        const rig = new Rig(olderDisk());
        rig.trouble = (now) => (now === at ? strike() : undefined);
        const opening = rig.open().then(
          () => true,
          () => true,
        );
        const dead = async (): Promise<boolean> => {
          while (!rig.dead) await loopTurn();
          return true;
        };
        await Promise.race([opening, dead()]);
        for (let draw = 0; draw < 10; draw += 1) {
          const model = rig.model.clone();
          model.losePower(randomStream(at * 100 + draw, 'power'));
          const { state, journal } = await new Rig(model).open();
          expect([at, draw, textOf(state)]).toStrictEqual([at, draw, texts[COUNT]]);
          await journal.append([recordNumber(COUNT)], { sync: true });
          expect([at, draw, textOf((await new Rig(model).open()).state)]).toStrictEqual([
            at,
            draw,
            texts[COUNT + 1],
          ]);
          expect(formatOf(model, newest(model))).toBe(FORMAT);
        }
      }
    },
  );

  it('F31 F21 without space for the copy the start fails and the old file stays as it was, for the older version', async () => {
    const model = olderDisk();
    model.capacityBytes = model.usedBytes();
    await expect(new Rig(model).open()).rejects.toMatchObject({ code: 'ENOSPC' });
    expect(Buffer.from(model.read('journal.7') ?? new Uint8Array()).equals(Buffer.from(older))).toBe(true);
    expect(model.list().filter((name) => /^journal\.\d+$/u.test(name))).toEqual(['journal.7']);
    model.capacityBytes = Number.MAX_SAFE_INTEGER;
    expect(textOf((await new Rig(model).open()).state)).toBe(texts[COUNT]);
  });
});
