/** What every DiskPort does, the real directory as the simulated one. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { DiskPort } from '../../src/ports/disk.ts';

export interface DiskStage {
  readonly disk: DiskPort;
  close(): Promise<void>;
}

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
const text = (read: Uint8Array | undefined): string | undefined =>
  read === undefined ? undefined : Buffer.from(read).toString();

/** The suite; `make` gives an empty disk. */
export function diskConformance(name: string, make: () => Promise<DiskStage>): void {
  describe(`disk conformance: ${name}`, () => {
    let stage: DiskStage;
    let disk: DiskPort;
    beforeEach(async () => {
      stage = await make();
      ({ disk } = stage);
    });
    afterEach(() => stage.close());

    it('reads what was appended, and undefined where there is no file', async () => {
      const file = await disk.create('a');
      await file.append(bytes('one'));
      await file.append(bytes('two'));
      expect(await file.size()).toBe(6);
      await file.sync();
      await file.close();
      expect([text(await disk.read('a')), await disk.read('b')]).toStrictEqual(['onetwo', undefined]);
    });

    it('an append keeps its bytes when the caller changes its buffer afterwards', async () => {
      const file = await disk.create('a');
      const buffer = bytes('one');
      await file.append(buffer);
      buffer.fill(0);
      await file.close();
      expect(text(await disk.read('a'))).toBe('one');
    });

    it('create refuses a name that is taken, with EEXIST', async () => {
      await (await disk.create('a')).close();
      await expect(disk.create('a')).rejects.toMatchObject({ code: 'EEXIST' });
    });

    openedAgain(() => disk);
    it('rename puts a file in place of another; an unlink of nothing succeeds; names are sorted', async () => {
      for (const one of ['c', 'a', 'b']) {
        const file = await disk.create(one);
        await file.append(bytes(one));
        await file.close();
      }
      await disk.rename('c', 'a');
      await disk.unlink('b');
      await disk.unlink('b');
      await disk.syncDirectory();
      expect([await disk.list(), text(await disk.read('a'))]).toStrictEqual([['a'], 'c']);
      await expect(disk.rename('b', 'a')).rejects.toMatchObject({ code: 'ENOENT' });
    });
  });
}

function openedAgain(disk: () => DiskPort): void {
  it('openAt truncates the file to the length and appends from there', async () => {
    const first = await disk().create('a');
    await first.append(bytes('abcdef'));
    await first.close();
    const second = await disk().openAt('a', 2);
    expect(await second.size()).toBe(2);
    await second.append(bytes('X'));
    await second.close();
    expect(text(await disk().read('a'))).toBe('abX');
  });

  it('openAt and writeAgain refuse a missing file and create none', async () => {
    await expect(disk().openAt('a', 4)).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(disk().writeAgain('a', bytes('ab'))).rejects.toMatchObject({ code: 'ENOENT' });
    expect(await disk().list()).toStrictEqual([]);
  });

  it('writeAgain changes nothing that readers see, nor what follows it', async () => {
    const file = await disk().create('a');
    await file.append(bytes('abcdef'));
    await disk().writeAgain('a', bytes('abc'));
    expect([text(await disk().read('a')), await file.size()]).toStrictEqual(['abcdef', 6]);
    await file.close();
  });
}
