import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type * as entries from '../../../../src/host/files/directory-entries.ts';
import { afterAll, afterEach, beforeEach, expect, test, vi } from 'vitest';
import { removeSmallTree } from '../../../../src/oci/trees/small-tree.ts';

// test files share a process: modules loaded before this file keep the real one, those loaded here the mock
vi.hoisted(() => vi.resetModules());
// at once, since nothing runs after a file whose tests are all skipped; and what is loaded later
vi.resetModules();
afterAll(() => vi.resetModules());

/** Called with its name when a directory was opened: what somebody else does between two calls of the deletion. */
const others = vi.hoisted(() => ({ act: (_name: string): void => undefined }));
vi.mock('../../../../src/host/files/directory-entries.ts', async (original) => {
  const real = await original<typeof entries>();
  return {
    ...real,
    openSubdirectoryLater: async (fd: number, name: string) => {
      const opened = await real.openSubdirectoryLater(fd, name);
      others.act(name);
      return opened;
    },
  };
});

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'troupe-small-'));
});
afterEach(() => {
  others.act = () => undefined;
  rmSync(root, { recursive: true });
});

test.each([
  ['the one that is being deleted', (name: string, opened: string) => opened === name],
  ['those that come after it', (name: string, opened: string) => opened !== name],
] as const)(
  'F89 directories that become links while a tree is deleted are not followed: %s',
  async (_which, isReplaced) => {
    const [tree, host] = [join(root, 'tree'), join(root, 'host')];
    const names = ['a', 'b', 'c', 'd'];
    for (const name of names) {
      mkdirSync(join(tree, name, 'inner'), { recursive: true });
      mkdirSync(join(host, name, 'inner'), { recursive: true });
      writeFileSync(join(host, name, 'canary'), 'kept');
    }
    others.act = (opened) => {
      if (!names.includes(opened)) return;
      others.act = () => undefined;
      for (const name of names) {
        if (!isReplaced(name, opened)) continue;
        renameSync(join(tree, name), join(tree, `was-${name}`));
        symlinkSync(join(host, name), join(tree, name));
      }
    };
    expect(await removeSmallTree(tree, 100)).toBe(false);
    for (const name of names) expect(readdirSync(join(host, name)).toSorted()).toEqual(['canary', 'inner']);
  },
);

test('F89 a small tree is deleted, one with more entries is left to the worker', async () => {
  const before = readdirSync('/proc/self/fd').length;
  for (const [budget, isGone] of [
    [5, false],
    [6, true],
  ] as const) {
    const tree = join(root, String(budget));
    mkdirSync(join(tree, 'a', 'b', 'c'), { recursive: true });
    for (const name of ['f', 'a/f', 'a/b/c/f']) writeFileSync(join(tree, name), '');
    symlinkSync('/', join(tree, 'a', 'link'));
    rmSync(join(tree, 'a', 'f'));
    expect([await removeSmallTree(tree, budget), existsSync(tree)]).toEqual([isGone, !isGone]);
  }
  expect(await removeSmallTree(join(root, 'none'), 1)).toBe(true);
  expect(readdirSync('/proc/self/fd').length).toBe(before);
});

test('F09 an entry that is gone before its turn does not end the deletion of the others', async () => {
  const tree = join(root, 'tree');
  for (const name of ['a', 'b', 'c']) mkdirSync(join(tree, name, 'inner'), { recursive: true });
  let gone: string | undefined;
  others.act = (opened) => {
    const name = ['a', 'b', 'c'].find((one) => one === opened);
    if (name === undefined || gone !== undefined) return;
    gone = name === 'a' ? 'b' : 'a';
    rmSync(join(tree, gone), { recursive: true });
    rmSync(join(tree, name, 'inner'), { recursive: true });
  };
  expect([await removeSmallTree(tree, 100), existsSync(tree)]).toEqual([true, false]);
  expect(gone).toBeDefined();
});

test('F89 a directory with more entries than one call lists, and with any bytes in a name', async () => {
  const tree = join(root, 'tree');
  mkdirSync(tree);
  for (let at = 0; at < 40; at += 1) writeFileSync(join(tree, `${'n'.repeat(250)}${at}`), '');
  writeFileSync(Buffer.concat([Buffer.from(`${tree}/`), Buffer.from([0xff, 0xfe, 0x0a])]), '');
  expect([await removeSmallTree(tree, 100), existsSync(tree)]).toEqual([true, false]);
});

test('F89 known entries are deleted by name; what is there in their place, or beside them, is listed', async () => {
  const known = [
    { path: 'work/work/mark', isDirectory: false },
    { path: 'work/work', isDirectory: true },
    { path: 'work', isDirectory: true },
    { path: 'rootfs', isDirectory: true },
  ];
  const budget = 6;
  for (const [which, further] of [
    ['nothing else', []],
    ['a file beside the mark', ['work/work/more']],
    ['a directory in place of the mark', ['work/work/mark/file']],
    ['another tree', ['upper/etc/hosts']],
  ] as const) {
    const tree = join(root, 'tree');
    mkdirSync(join(tree, 'work/work'), { recursive: true });
    for (const path of further) {
      mkdirSync(dirname(join(tree, path)), { recursive: true });
      writeFileSync(join(tree, path), '');
    }
    expect([which, await removeSmallTree(tree, budget, known), existsSync(tree)]).toEqual([
      which,
      true,
      false,
    ]);
  }
});
