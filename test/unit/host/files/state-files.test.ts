import { lstatSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { isInMemory, lstatOwn, recogniseMemory } from '../../../../src/host/files/state-files.ts';

test.each([
  ['in memory', '/dev/shm'],
  ['on a disk', tmpdir()],
])(
  'F90 what has a name %s: the entry itself, not its target; undefined for a missing one',
  async (_title, base) => {
    const directory = mkdtempSync(join(base, 'troupe-own-'));
    onTestFinished(() => rmSync(directory, { recursive: true }));
    if (base === '/dev/shm') {
      await recogniseMemory(directory);
      expect(isInMemory(join(directory, 'file'))).toBe(true);
    }
    writeFileSync(join(directory, 'file'), '');
    symlinkSync('file', join(directory, 'link'));
    expect(await lstatOwn(join(directory, 'file'))).toMatchObject({
      ino: lstatSync(join(directory, 'file'), { bigint: true }).ino,
    });
    expect((await lstatOwn(join(directory, 'link')))?.isSymbolicLink()).toBe(true);
    expect(await lstatOwn(join(directory, 'none'))).toBeUndefined();
    // a directory on the way was replaced by a file
    expect(await lstatOwn(join(directory, 'file', 'none'))).toBeUndefined();
  },
);
