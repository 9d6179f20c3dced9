import { lstat, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  KernelError,
  isAbsent,
  isProcessGone,
  missingAs,
  onlyAbsent,
} from '../../../../src/host/ffi/errno.ts';

const ENOENT = 2;
const ESRCH = 3;
const EACCES = 13;
let dir = '';

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'errno-'));
  await writeFile(join(dir, 'file'), '');
});

afterEach(async () => rm(dir, { recursive: true }));

describe('absence', () => {
  it('is what Node and the kernel report for a missing name, also below a file', async () => {
    await expect(lstat(join(dir, 'none')).catch(isAbsent)).resolves.toBe(true);
    await expect(lstat(join(dir, 'file/below')).catch(isAbsent)).resolves.toBe(true);
    expect(isAbsent(new KernelError('open', ENOENT, '/x'))).toBe(true);
  });

  it('is no other error and no thrown string', () => {
    expect(isAbsent(new KernelError('open', EACCES, '/x'))).toBe(false);
    expect(isAbsent(new Error('ENOENT'))).toBe(false);
    expect(isAbsent('ENOENT')).toBe(false);
  });

  it('becomes undefined in a catch; another error is rethrown', async () => {
    const refused = new KernelError('open', EACCES, '/x');
    await expect(lstat(join(dir, 'none')).catch(onlyAbsent)).resolves.toBeUndefined();
    expect(() => onlyAbsent(refused)).toThrow(refused);
  });

  it('is replaced by a default; a file in the path is not', async () => {
    await expect(missingAs(lstat(join(dir, 'none')), undefined)).resolves.toBeUndefined();
    await expect(missingAs(lstat(join(dir, 'file/below')), undefined)).rejects.toMatchObject({
      code: 'ENOTDIR',
    });
    await expect(missingAs(Promise.resolve(1), 2)).resolves.toBe(1);
  });

  it('of a process is recognised by either of two errors', () => {
    expect(
      [ENOENT, ESRCH, EACCES].map((errno) => isProcessGone(new KernelError('read', errno, '/proc/1/stat'))),
    ).toEqual([true, true, false]);
  });
});
