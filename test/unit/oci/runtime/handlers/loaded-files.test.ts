// Which files decide about the libraries of a program.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { staticElf } from '../../../../../src/host/process/elf.ts';
import { realClock } from '../../../../../src/host/clock/clock.ts';
import { linkageIn, loadedFiles, tracedFiles } from '../../../../../src/oci/runtime/handlers/loaded-files.ts';

const elf = (): Buffer => Buffer.from(staticElf('x64', Uint8Array.of(0x90)));

describe('a program', () => {
  test('without an interpreter is static', () => expect(linkageIn(elf())).toBe('static'));

  test('with one has its libraries from there', () => {
    const dynamic = elf();
    // PT_INTERP in place of PT_GNU_STACK
    dynamic.writeUInt32LE(3, 64 + 56);
    expect(linkageIn(dynamic)).toBe('dynamic');
  });

  test.each([
    ['a script', Buffer.from('#!/bin/sh\n'.padEnd(100))],
    ['an empty file', Buffer.alloc(0)],
    ['a 32-bit program', Buffer.concat([Buffer.from([0x7f, 0x45, 0x4c, 0x46, 1, 1]), Buffer.alloc(100)])],
    ['one whose headers are cut', elf().subarray(0, 64)],
  ])('%s is not judged', (_what, bytes) => expect(linkageIn(bytes)).toBe('unknown'));

  test('that does not exist may be judged another time', async () =>
    await expect(loadedFiles('/nowhere', { clock: realClock(), toolPath: '' })).rejects.toThrow('ENOENT'));

  test('whose libraries cannot be listed now may be judged another time', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'troupe-loaded-'));
    try {
      const path = join(directory, 'program');
      // what LD_TRACE_LOADED_OBJECTS does is its interpreter's: this one has none, and is refused or dies
      const dynamic = elf();
      dynamic.writeUInt32LE(3, 64 + 56);
      writeFileSync(path, dynamic, { mode: 0o755 });
      await expect(loadedFiles(path, { clock: realClock(), toolPath: '' })).rejects.toThrow(path);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

describe('the output of ld.so', () => {
  const vdso = '\tlinux-vdso.so.1 (0x00007ffc)\n';

  test('has the libraries, also those that are named by their path', () =>
    expect(
      tracedFiles(
        `${vdso}\tlibseccomp.so.2 => /lib/x/libseccomp.so.2 (0x00007f06)\n\t/opt/a.so (0x00007f07)\n\t/lib64/ld-linux-x86-64.so.2 (0x00007f08)\n`,
      ),
    ).toEqual(['/lib/x/libseccomp.so.2', '/opt/a.so', '/lib64/ld-linux-x86-64.so.2', '/etc/ld.so.cache']));

  test.each([
    ['a library that is not found', `${vdso}\tlibseccomp.so.2 => not found\n`],
    ['the output of the program itself', 'runc version 1.4.3\n'],
    ['nothing', ''],
    ['more than a runtime loads', '\t/lib/a.so (0x1)\n'.repeat(100)],
  ])('is not understood: %s', (_what, text) => expect(tracedFiles(text)).toBeUndefined());
});
