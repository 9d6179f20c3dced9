import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { recogniseMemory } from '../../../../src/host/files/state-files.ts';
import { readSmallFile } from '../../../../src/host/files/small-file.ts';
import { unless } from '../../../support/skips/unless.ts';

const directory = mkdtempSync(join(tmpdir(), 'troupe-small-'));
afterAll(() => rmSync(directory, { recursive: true }));

const BOUNDS = { usualBytes: 4, bytesMax: 8 };

function fileOf(text: string): string {
  const path = join(directory, `${text.length}`);
  writeFileSync(path, text);
  return path;
}

test.each(['', 'abc', 'abcd', 'abcde', 'abcdefgh'])('a file of %j is read whole', async (text) => {
  expect(await readSmallFile(fileOf(text), BOUNDS)).toBe(text);
});

test('a file larger than its bound is not used', async () => {
  expect(await readSmallFile(fileOf('abcdefghi'), BOUNDS)).toBe('');
});

test('a missing file, and a file in place of a directory, are absent', async () => {
  expect(await readSmallFile(join(directory, 'absent'), BOUNDS)).toBeUndefined();
  expect(await readSmallFile(join(fileOf('x'), 'below'), BOUNDS)).toBeUndefined();
});

test('F89 a directory in its place is absent; another failure is thrown with its code, and no descriptor stays open', async () => {
  const before = readdirSync('/proc/self/fd').length;
  await expect(readSmallFile(directory, BOUNDS)).resolves.toBeUndefined();
  await expect(readSmallFile(join(directory, 'n'.repeat(256)), BOUNDS)).rejects.toMatchObject({
    code: 'ENAMETOOLONG',
  });
  expect(readdirSync('/proc/self/fd').length).toBe(before);
});

const shared = '/dev/shm';
const reason = existsSync(shared) ? undefined : `there is no ${shared}`;
if (reason !== undefined) process.stdout.write(`skipped, files in memory: ${reason}\n`);

describe.each(['on a disk', 'in memory'])('%s', (where) => {
  let place: string;
  beforeAll(async () => {
    place = mkdtempSync(
      join(where === 'in memory' && reason === undefined ? shared : tmpdir(), 'troupe-small-'),
    );
    if (where === 'in memory') await recogniseMemory(place);
  });
  afterAll(() => rmSync(place, { recursive: true }));

  unless(test, where === 'in memory' ? reason : undefined)(
    'S85 a file above the usual size takes a buffer of its own size, not of the bound',
    async () => {
      const path = join(place, 'large');
      writeFileSync(path, 'x'.repeat(90_000));
      const allocations = vi.spyOn(Buffer, 'allocUnsafe');
      try {
        expect((await readSmallFile(path, { usualBytes: 65_536, bytesMax: 8 * 1024 * 1024 }))?.length).toBe(
          90_000,
        );
        expect(Math.max(...allocations.mock.calls.map(([bytes]) => bytes))).toBe(90_001);
      } finally {
        allocations.mockRestore();
      }
    },
  );

  unless(test, where === 'in memory' ? reason : undefined)(
    'F89 a FIFO and a directory are absent, a file beyond the bound is empty',
    async () => {
      execFileSync('mkfifo', [join(place, 'fifo')]);
      mkdirSync(join(place, 'directory'));
      writeFileSync(join(place, 'long'), '123456789');
      const [fifo, inside, long] = await Promise.all(
        ['fifo', 'directory', 'long'].map((name) => readSmallFile(join(place, name), BOUNDS)),
      );
      expect([fifo, inside, long]).toEqual([undefined, undefined, '']);
    },
  );
});
