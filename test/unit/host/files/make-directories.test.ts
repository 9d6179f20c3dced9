import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { makeDirectories } from '../../../../src/host/files/make-directories.ts';

describe('directories at paths that users name', () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'troupe-mkdirs-'));
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  test('makes missing directories and leaves existing ones', async () => {
    mkdirSync(join(dir, 'a'));
    chmodSync(join(dir, 'a'), 0o700);
    await makeDirectories(join(dir, 'a/b/c'), 0o755);
    await makeDirectories(join(dir, 'a/b/c/'), 0o711);
    await makeDirectories('/', 0o755);
    expect([statSync(join(dir, 'a')).mode & 0o777, statSync(join(dir, 'a/b/c')).mode & 0o777]).toEqual([
      0o700, 0o755,
    ]);
  });

  test('follows a link to a directory, and makes several levels at once', async () => {
    mkdirSync(join(dir, 'real'));
    symlinkSync('real', join(dir, 'link'));
    await Promise.all(['x/y', 'x/z', 'x/y'].map((name) => makeDirectories(join(dir, 'link', name), 0o755)));
    expect(statSync(join(dir, 'real/x/z')).isDirectory()).toBe(true);
  });

  test('S32 fails at once below /proc, where Node tries for ever', async () => {
    await expect(makeDirectories('/proc/none/below', 0o755)).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(makeDirectories('/proc/none', 0o755)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test('reports a file in the path', async () => {
    writeFileSync(join(dir, 'file'), '');
    symlinkSync('nowhere', join(dir, 'dangling'));
    await expect(makeDirectories(join(dir, 'file'), 0o755)).rejects.toMatchObject({ code: 'EEXIST' });
    await expect(makeDirectories(join(dir, 'file/below'), 0o755)).rejects.toMatchObject({ code: 'ENOTDIR' });
    await expect(makeDirectories(join(dir, 'dangling'), 0o755)).rejects.toMatchObject({ code: 'EEXIST' });
    await expect(makeDirectories(join(dir, 'dangling/below'), 0o755)).rejects.toMatchObject({
      code: /E(NOENT|EXIST)/,
    });
  });
});
