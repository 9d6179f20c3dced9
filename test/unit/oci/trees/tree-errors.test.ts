// A disk that fails while the trash is emptied: the rest goes, the failure is named with path and reason, and nothing
// is tried for ever (F89).
import { existsSync, mkdirSync, readdirSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { storageLimits } from '../../../../src/oci/bounds.ts';
import { AT_REMOVEDIR } from '../../../../src/host/ffi/constants.ts';
import { finished } from '../../../../src/oci/trees/remove-tree.ts';
import { emptyDirectory } from '../../../../src/oci/trees/tree-empty.ts';
import type { Emptied } from '../../../../src/oci/trees/tree-empty.ts';
import { scratchForDeep } from '../../../support/deep-scratch.ts';
import { nameIn, withFailing } from '../../../support/failing-calls.ts';

/** Three trees; in the second one `bad/dir` with a file beside others. */
function makeTrash(): string {
  const trash = scratchForDeep('troupe-errors-');
  for (const tree of ['a', 'bad', 'z']) {
    mkdirSync(join(trash, tree, 'dir'), { recursive: true });
    for (const name of ['one', 'two', 'dir/inner']) writeFileSync(join(trash, tree, name), 'x');
  }
  writeFileSync(join(trash, 'bad/dir/stuck'), 'x');
  return trash;
}

const empty = (trash: string): Emptied => finished(emptyDirectory(trash));
const isBelow = (fd: number, tree: string): boolean => readlinkSync(`/proc/self/fd/${fd}`).endsWith(tree);

test.each(['EIO', 'EROFS', 'EBUSY', 'EACCES', 'EPERM'] as const)(
  'F89 a file whose removal fails with %s keeps only its directories',
  (code) => {
    const trash = makeTrash();
    let tries = 0;
    const emptied = withFailing(
      'unlinkat',
      (_fd, name) => {
        if (nameIn(name) !== 'stuck') return undefined;
        tries += 1;
        return code;
      },
      () => empty(trash),
    );
    expect(emptied.kept).toEqual([
      {
        name: 'bad',
        failures: [expect.stringMatching(new RegExp(`^"dir/stuck": .*${code}`, 'u'))],
        failed: 1,
      },
    ]);
    expect([
      readdirSync(trash),
      readdirSync(join(trash, 'bad')),
      readdirSync(join(trash, 'bad/dir')),
    ]).toEqual([['bad'], ['dir'], ['stuck']]);
    expect(tries).toBeLessThanOrEqual(2);
    expect(emptied.entries).toBe(2 * 5 + 3);
    // once the disk takes it again
    expect(empty(trash)).toMatchObject({ kept: [], entries: 3 });
    expect(readdirSync(trash)).toEqual([]);
  },
);

test('F89 a directory that is never empty is read a few times and kept', () => {
  const trash = makeTrash();
  let tries = 0;
  const emptied = withFailing(
    'unlinkat',
    (fd, name, flags) => {
      if (nameIn(name) !== 'dir' || flags !== AT_REMOVEDIR || !isBelow(fd, '/bad')) return undefined;
      tries += 1;
      return 'ENOTEMPTY';
    },
    () => empty(trash),
  );
  expect(emptied.kept).toEqual([
    { name: 'bad', failures: [expect.stringMatching(/^"dir": .*ENOTEMPTY/u)], failed: 1 },
  ]);
  expect(tries).toBe(storageLimits.treeReadings);
  expect(readdirSync(trash)).toEqual(['bad']);
});

test('F89 an unreadable directory, or an entry without readable attributes, keeps its own tree', () => {
  const trash = makeTrash();
  const unread = withFailing(
    'getdents64',
    (fd) => (isBelow(fd, '/bad/dir') ? 'EIO' : undefined),
    () => empty(trash),
  );
  expect(unread.kept).toEqual([
    { name: 'bad', failures: [expect.stringMatching(/^"dir": read directory .*EIO/u)], failed: 1 },
  ]);
  expect(readdirSync(trash)).toEqual(['bad']);
  const unseen = withFailing(
    'statx',
    (_fd, name) => (nameIn(name) === 'stuck' ? 'EIO' : undefined),
    () => empty(trash),
  );
  expect(unseen.kept).toEqual([
    { name: 'bad', failures: [expect.stringMatching(/^"dir\/stuck": .*EIO/u)], failed: 1 },
  ]);
  expect(readdirSync(join(trash, 'bad/dir'))).toEqual(['stuck']);
});

test('S88 a directory whose attributes can’t be read once it is open keeps no descriptor', () => {
  const trash = makeTrash();
  const before = readdirSync('/proc/self/fd').length;
  const isOfBad = (fd: number, name: string): boolean => name === '.' && isBelow(fd, '/bad/dir');
  const emptied = withFailing(
    'statx',
    (fd, name) => (isOfBad(fd, nameIn(name)) ? 'ESTALE' : undefined),
    () => empty(trash),
  );
  expect(emptied.kept).toEqual([
    { name: 'bad', failures: [expect.stringMatching(/^"dir": .*ESTALE/u)], failed: 1 },
  ]);
  expect(readdirSync('/proc/self/fd').length).toBe(before);
});

test('F89 a trash that can’t be read to its end is reported, beside entries that could not be deleted before', () => {
  const trash = scratchForDeep('troupe-errors-');
  // more than one batch
  for (let tree = 0; tree < 2000; tree += 1) mkdirSync(join(trash, `tree-${tree}`));
  let readings = 0;
  let stuck = '';
  const emptied = withFailing(
    'getdents64',
    (fd) => {
      if (!isBelow(fd, trash)) return undefined;
      readings += 1;
      return readings > 1 ? 'EIO' : undefined;
    },
    () =>
      withFailing(
        'unlinkat',
        (fd, name) => {
          if (stuck === '' && isBelow(fd, trash)) stuck = nameIn(name);
          return nameIn(name) === stuck ? 'EIO' : undefined;
        },
        () => empty(trash),
      ),
  );
  expect(emptied.problem).toMatch(/EIO/u);
  expect(emptied.kept).toMatchObject([{ name: stuck, failed: 1 }]);
  expect(emptied.entries).toBeGreaterThan(100);
  expect(existsSync(join(trash, stuck))).toBe(true);
});

test('F89 a failing disk gets one call for each entry', () => {
  const trash = makeTrash();
  let calls = 0;
  const emptied = withFailing(
    'unlinkat',
    () => {
      calls += 1;
      return 'EIO';
    },
    () => empty(trash),
  );
  expect(emptied.kept.map(({ name }) => name).toSorted()).toEqual(['a', 'bad', 'z']);
  expect(emptied.kept.every(({ failures }) => failures.length <= storageLimits.failuresKept)).toBe(true);
  expect(calls).toBe(3 * 3 + 1);
});
