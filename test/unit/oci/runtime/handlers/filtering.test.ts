// The launcher's file is executed only with the content that it was written with.
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { realClock } from '../../../../../src/host/clock/clock.ts';
import { driverLimits } from '../../../../../src/oci/runtime/bounds.ts';
import { filteringElf } from '../../../../../src/oci/runtime/handlers/filtering-elf.ts';
import { filteringLauncher, launcherName } from '../../../../../src/oci/runtime/handlers/filtering.ts';
import { removeOldPrograms, writeProgram } from '../../../../../src/oci/runtime/handlers/stand-ins.ts';
import { outerFilter } from '../../../../../src/oci/runtime/spec/outer-filter.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'troupe-launcher-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const RUNC = '/usr/sbin/runc';
const content = Buffer.from(filteringElf(RUNC, outerFilter()));

test.each([
  ['of the same length, as after a power loss', Buffer.alloc(content.length)],
  ['that differs in its last byte', Buffer.concat([content.subarray(0, -1), Buffer.from([1])])],
  ['that is cut', content.subarray(0, 100)],
])('S73: a file %s is written again, before its first use and later', async (_what, bytes) => {
  const path = join(directory, launcherName(RUNC));
  writeFileSync(path, bytes, { mode: 0o700 });
  expect(await filteringLauncher(directory, RUNC)).toBe(path);
  expect(readFileSync(path).equals(content)).toBe(true);
  // compared and found whole
  await filteringLauncher(directory, RUNC);
  writeFileSync(path, bytes);
  await filteringLauncher(directory, RUNC);
  expect(readFileSync(path).equals(content)).toBe(true);
});

test('two daemons write the same program at once, whole, and leave nothing beside it', async () => {
  const paths = await Promise.all(
    Array.from({ length: 8 }, () => writeProgram(directory, launcherName(RUNC), content)),
  );
  expect(new Set(paths)).toEqual(new Set([join(directory, launcherName(RUNC))]));
  expect(readdirSync(directory)).toEqual([launcherName(RUNC)]);
  expect(readFileSync(paths[0] ?? '').equals(content)).toBe(true);
});

test('a program that cannot be put in its place leaves nothing', async () => {
  mkdirSync(join(directory, 'taken/by-a-directory'), { recursive: true });
  await expect(writeProgram(directory, 'taken', 'x')).rejects.toThrow();
  expect(readdirSync(directory)).toEqual(['taken']);
});

describe('programs that are no longer needed', () => {
  const needed = launcherName(RUNC);
  const old = launcherName('/opt/other/runc');
  const names = [needed, old, `${old}.new`, 'crun', 'shim-stdio', 'seccomp-notes'];
  const clock = realClock();

  beforeEach(() => {
    for (const name of names) writeFileSync(join(directory, name), '');
    mkdirSync(join(directory, 'new-aBcDeF'));
    writeFileSync(join(directory, 'new-aBcDeF', needed), '');
  });
  const age = (ms: number): void => {
    const atMs = Number(clock.nowNs() / 1_000_000n) - ms;
    for (const name of readdirSync(directory)) utimesSync(join(directory, name), atMs / 1000, atMs / 1000);
  };

  test('are removed, and nothing else', async () => {
    age(driverLimits.standInInUseMs);
    await removeOldPrograms(directory, new Set([needed]), clock);
    expect(readdirSync(directory).toSorted()).toEqual(
      ['crun', 'seccomp-notes', needed, 'shim-stdio'].toSorted(),
    );
  });

  test('stay while another daemon may be at work on them', async () => {
    age(driverLimits.standInInUseMs / 2);
    await removeOldPrograms(directory, new Set([needed]), clock);
    expect(readdirSync(directory)).toHaveLength(names.length + 1);
  });

  test('need no directory', async () => {
    await removeOldPrograms(join(directory, 'nowhere'), new Set(), clock);
    expect(existsSync(join(directory, 'nowhere'))).toBe(false);
  });
});
