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
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, expect, test, vi } from 'vitest';
import { removeSmallTree } from '../../../../src/oci/trees/small-tree.ts';

// test files share a process: modules loaded before this file keep the real one, those loaded here the mock
vi.hoisted(() => vi.resetModules());
// at once, since nothing runs after a file whose tests are all skipped; and what is loaded later
vi.resetModules();
afterAll(() => vi.resetModules());

/** Called when a directory is asked for mounts: what somebody else does between two calls of the deletion. */
const others = vi.hoisted(() => ({ act: (_path: string): void => undefined }));
vi.mock('../../../../src/host/files/directory-entries.ts', async (original) => ({
  ...(await original<object>()),
  isMountRoot: async (path: Uint8Array) => {
    others.act(Buffer.from(path).toString());
    return false;
  },
}));

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'troupe-small-'));
});
afterEach(() => {
  others.act = () => undefined;
  rmSync(root, { recursive: true });
});

test.each([
  ['the one that is being deleted', (name: string, path: string) => path.endsWith(`/${name}`)],
  ['those that come after it', (name: string, path: string) => !path.endsWith(`/${name}`)],
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
    others.act = (path) => {
      if (!names.some((name) => path.endsWith(`/${name}`))) return;
      others.act = () => undefined;
      for (const name of names) {
        if (!isReplaced(name, path)) continue;
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
  others.act = (path) => {
    const name = ['a', 'b', 'c'].find((one) => path.endsWith(`/${one}`));
    if (name === undefined || gone !== undefined) return;
    gone = name === 'a' ? 'b' : 'a';
    rmSync(join(tree, gone), { recursive: true });
    rmSync(join(tree, name, 'inner'), { recursive: true });
  };
  expect([await removeSmallTree(tree, 100), existsSync(tree)]).toEqual([true, false]);
  expect(gone).toBeDefined();
});
