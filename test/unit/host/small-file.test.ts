import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { readSmallFile } from '../../../src/host/small-file.ts';

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

test('of a file larger than its bound nothing is believed', async () => {
  expect(await readSmallFile(fileOf('abcdefghi'), BOUNDS)).toBe('');
});

test('no file, and a file where a directory should be', async () => {
  expect(await readSmallFile(join(directory, 'absent'), BOUNDS)).toBeUndefined();
  expect(await readSmallFile(join(fileOf('x'), 'below'), BOUNDS)).toBeUndefined();
});

test('F89 a directory in its place is no file; another failure is thrown with its code, and no descriptor stays open', async () => {
  const before = readdirSync('/proc/self/fd').length;
  await expect(readSmallFile(directory, BOUNDS)).resolves.toBeUndefined();
  await expect(readSmallFile(join(directory, 'n'.repeat(256)), BOUNDS)).rejects.toMatchObject({ code: 'ENAMETOOLONG' });
  expect(readdirSync('/proc/self/fd').length).toBe(before);
});
