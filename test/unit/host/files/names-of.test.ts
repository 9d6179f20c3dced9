import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isThere } from '../../../../src/host/files/is-there.ts';
import { namesIfDirectory, namesOf } from '../../../../src/host/files/names-of.ts';

let dir = '';

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'names-'));
  await mkdir(join(dir, 'own/one'), { recursive: true });
  await writeFile(join(dir, 'file'), '');
});

afterEach(async () => rm(dir, { recursive: true }));

describe('names of a directory', () => {
  it('are an empty list for a missing path', async () => {
    expect(await namesOf(join(dir, 'own'))).toEqual(['one']);
    expect(await namesIfDirectory(join(dir, 'own'))).toEqual(['one']);
    expect(await namesOf(join(dir, 'none'))).toEqual([]);
    expect(await namesIfDirectory(join(dir, 'none'))).toEqual([]);
  });

  it('of a file are an error, or empty on request', async () => {
    await expect(namesOf(join(dir, 'file'))).rejects.toMatchObject({ code: 'ENOTDIR' });
    expect(await namesIfDirectory(join(dir, 'file'))).toEqual([]);
  });
});

describe('a name', () => {
  it('exists for any entry, also for a dangling link', async () => {
    await symlink(join(dir, 'none'), join(dir, 'link'));
    expect(await isThere(join(dir, 'own'))).toBe(true);
    expect(await isThere(join(dir, 'link'))).toBe(true);
    expect(await isThere(join(dir, 'none'))).toBe(false);
  });

  it('below a file is an error', async () => {
    await expect(isThere(join(dir, 'file/below'))).rejects.toMatchObject({ code: 'ENOTDIR' });
  });
});
