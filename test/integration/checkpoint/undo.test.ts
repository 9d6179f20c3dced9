// What a daemon that was killed has left of the archives of a request, and what the next one makes of it.
import { linkSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { realClock } from '../../../src/host/clock/clock.ts';
import { partialOf, undoArchives } from '../../../src/oci/runtime/checkpoint/archive.ts';
import { begun } from '../../../src/oci/runtime/checkpoint/work.ts';
import { fxOf } from '../../support/fx.ts';

const place = {
  attempted: 'undo',
  clock: realClock(),
  fx: fxOf(),
};

describe('archives of an interrupted checkpoint', () => {
  let directory: string;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'troupe-undo-'));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  const NAMES = ['one.tar', 'two.tar'] as const;
  const at = (name: string): string => join(directory, name);
  const part = (name: string): void => writeFileSync(partialOf(at(name)), name);
  const named = (name: string): void => linkSync(partialOf(at(name)), at(name));
  const undo = async (): Promise<readonly string[]> => {
    await undoArchives(NAMES.map(at), NAMES.map(at), place);
    return readdirSync(directory).toSorted();
  };

  it('partial archives are deleted', async () => {
    for (const name of NAMES) part(name);
    expect(await undo()).toEqual([]);
  });

  it('an archive is deleted while the other has no name yet', async () => {
    for (const name of NAMES) part(name);
    named('one.tar');
    expect(await undo()).toEqual([]);
  });

  it.each([0, 1, 2])(
    'all archives stay once all have their names, with %i partial files already gone',
    async (gone) => {
      for (const name of NAMES) part(name);
      for (const name of NAMES) named(name);
      for (const name of NAMES.slice(0, gone)) rmSync(partialOf(at(name)));
      expect(await undo()).toEqual([...NAMES]);
    },
  );

  it('another program’s file in the archive’s place stays', async () => {
    for (const name of NAMES) part(name);
    writeFileSync(at('one.tar'), 'something else');
    named('two.tar');
    expect(await undo()).toEqual(['one.tar']);
  });

  it('files without a note belong to another program', async () => {
    part('one.tar');
    part('two.tar');
    await undoArchives([at('one.tar')], NAMES.map(at), place);
    expect(readdirSync(directory)).toEqual(['two.tar.partial']);
  });

  it('a missing directory does not stop the undo', async () => {
    await undoArchives([join(directory, 'gone/one.tar')], [join(directory, 'gone/one.tar')], place);
    expect(readdirSync(directory)).toEqual([]);
  });
});

// a link to itself in the place of a note: ELOOP stands for EIO
it('F89 a note that cannot be read keeps no other checkpoint from being undone', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'troupe-undo-'));
  try {
    const [broken, whole] = ['a'.repeat(64), 'b'.repeat(64)] as const;
    for (const name of [broken, whole]) mkdirSync(join(directory, name));
    symlinkSync('note.json', join(directory, broken, 'note.json'));
    const note = { version: 1, id: whole, handler: 'runc', archive: '/a.tar', together: ['/a.tar'] };
    writeFileSync(join(directory, whole, 'note.json'), JSON.stringify(note));
    const unreadable: string[] = [];
    expect(await begun(directory, (name) => unreadable.push(name))).toEqual([note]);
    expect(unreadable).toEqual([broken]);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
