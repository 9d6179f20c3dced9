import { execFileSync } from 'node:child_process';
import { closeSync, linkSync, mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Conditions } from '../../../../src/base/conditions.ts';
import { storageLimits } from '../../../../src/oci/bounds.ts';
import { statEntry } from '../../../../src/host/files/directory-entries.ts';
import { openOwnDirectory } from '../../../../src/oci/trees/own-directory.ts';
import { silentLog } from '../../../../src/base/log.ts';
import { finished } from '../../../../src/oci/trees/remove-tree.ts';
import { measureEach } from '../../../../src/oci/trees/tree-measure.ts';
import type { Measured } from '../../../../src/oci/trees/tree-measure.ts';
import { isSame } from '../../../../src/oci/trees/tree-walk.ts';
import { WholeFigures } from '../../../../src/oci/trees/whole-figures.ts';
import { scratchForDeep } from '../../../support/deep-scratch.ts';
import { makeDeep } from '../../../support/deep-tree.ts';
import { nameIn, withFailing } from '../../../support/failing-calls.ts';

const place = (): string => scratchForDeep('troupe-measure-');
const measured = (
  paths: readonly string[],
  entries: number = storageLimits.measuredEntries,
): readonly Measured[] => finished(measureEach(paths, entries));

function treeOf(...names: string[]): string {
  const root = place();
  for (const name of names) writeFileSync(join(root, name), Buffer.alloc(10_000));
  return root;
}

test('S88 files below more directories than have descriptors are counted', () => {
  const root = place();
  makeDeep(root, 5000, 1);
  const before = readdirSync('/proc/self/fd').length;
  const [size] = measured([root]);
  expect(size).toMatchObject({ inodes: 1 + 5000 * 2, isWhole: true });
  expect(readdirSync('/proc/self/fd').length).toBe(before);
  const du = Number(execFileSync('du', ['-s', '--block-size=1', root], { encoding: 'utf8' }).split('\t')[0]);
  expect(size?.usedBytes).toBe(du);
});

test('S88 deep branches side by side are all counted, hard links once', () => {
  const root = place();
  makeDeep(root, 200);
  const deep = join(root, ...Array.from({ length: 200 }, () => 'd'));
  for (const branch of ['a', 'b', 'c']) {
    mkdirSync(join(deep, branch));
    makeDeep(join(deep, branch), 5, 3);
  }
  writeFileSync(join(root, 'one'), 'x');
  linkSync(join(root, 'one'), join(deep, 'two'));
  expect(measured([root])).toMatchObject([{ inodes: 1 + 200 + 3 * (1 + 5 * 4) + 1, isWhole: true }]);
});

test('S88 beyond the bound on entries the figure is a lower bound, and marked as one', () => {
  const root = treeOf(...Array.from({ length: 50 }, (_, at) => `f${at}`));
  expect(measured([root], 20)).toMatchObject([{ isWhole: false }]);
  expect(measured([root], 100)).toMatchObject([{ inodes: 51, isWhole: true }]);
});

test('S88 a tree with more entries than its share does not hide others', () => {
  const large = treeOf(...Array.from({ length: 300 }, (_, at) => `f${at}`));
  const small = treeOf('a', 'b');
  expect(measured([large, small], 200)).toMatchObject([{ isWhole: false }, { inodes: 3, isWhole: true }]);
  // what small ones leave over is for the large one, which is counted once more
  const [first, ...others] = measured([large, small, treeOf('c')], 480);
  expect([first, ...others]).toMatchObject([
    { inodes: 301, isWhole: true },
    { inodes: 3, isWhole: true },
    { inodes: 2, isWhole: true },
  ]);
  expect(measured([large, small], 1000)).toMatchObject([
    { inodes: 301, isWhole: true },
    { inodes: 3, isWhole: true },
  ]);
});

/** Directories in each other, each with so many files: what must not be counted. Answers the deepest one. */
function makeHost(root: string, levels: number, files: number): string {
  let at = root;
  for (let level = 0; level < levels; level += 1) {
    for (let file = 0; file < files; file += 1) writeFileSync(join(at, `${level}-${file}`), 'x');
    at = join(at, 'o');
    mkdirSync(at);
  }
  return at;
}

/** Counts a deep tree, and moves a directory of it to `target` while the count is some 200 levels below it. */
function movedWhileCounted(tree: string, levels: number, target: string): Measured | undefined {
  makeDeep(tree, levels, 1);
  // no second try: of so many entries nothing is left for it
  const steps = measureEach([tree], levels * 2 + 1000);
  let step = steps.next();
  // three steps for each level on the way down
  for (
    let yields = 1;
    step.done !== true && yields * storageLimits.treeStep < (storageLimits.heldDepth + 200) * 3;
    yields += 1
  )
    step = steps.next();
  renameSync(join(tree, ...Array.from({ length: storageLimits.heldDepth + 20 }, () => 'd'), 'd'), target);
  while (step.done !== true) step = steps.next();
  return step.value[0];
}

test('S88 a directory that is moved while it is counted hides only what lies below it', () => {
  const tree = place();
  const levels = storageLimits.heldDepth + 400;
  const size = movedWhileCounted(tree, levels, join(tree, 'moved'));
  expect(size?.isWhole).toBe(false);
  expect(size?.inodes).toBeGreaterThanOrEqual(storageLimits.heldDepth * 2);
  expect(size?.inodes).toBeLessThanOrEqual(1 + levels * 2);
});

test('S88 a parent whose attributes can’t be read gives a lower bound, and keeps no descriptor', () => {
  const root = place();
  makeDeep(root, storageLimits.heldDepth + 10, 1);
  const before = readdirSync('/proc/self/fd').length;
  const [size] = withFailing(
    'statx',
    (_fd, name) => (nameIn(name) === '.' ? 'ESTALE' : undefined),
    () => measured([root]),
  );
  expect(size?.isWhole).toBe(false);
  expect(readdirSync('/proc/self/fd').length).toBe(before);
});

test('S88 a directory moved out of the tree while it is counted does not lead outside', () => {
  const [tree, host] = [place(), place()];
  const levels = storageLimits.heldDepth + 400;
  // before and after what is moved there, in whatever order directories are read
  const outside = makeHost(host, 15, 50);
  for (let file = 0; file < 50; file += 1) writeFileSync(join(outside, `a-${file}`), 'x');
  const size = movedWhileCounted(tree, levels, join(outside, 'd'));
  expect(size?.isWhole).toBe(false);
  expect(size?.inodes).toBeGreaterThanOrEqual(storageLimits.heldDepth * 2);
  // the tree has no more: each further one is the host's
  expect(size?.inodes).toBeLessThanOrEqual(1 + levels * 2);
});

test('S88 a directory that was given the inode of a deleted one is not taken for it', () => {
  const was = { device: 7, inode: 12, born: 1e18 };
  expect(isSame(was, { ...was })).toBe(true);
  for (const other of [{ device: 8 }, { inode: 13 }, { born: 1e18 + 1000 }])
    expect(isSame({ ...was, ...other }, was)).toBe(false);
  expect(isSame(undefined, was)).toBe(false);
  const fd = openOwnDirectory(place());
  const nowNs = Date.now() * 1e6;
  // a day on either side: what is checked is that it is this time
  expect(Math.abs((statEntry(fd, '.')?.born ?? 0) - nowNs)).toBeLessThan(86_400e9);
  closeSync(fd);
});

test('S88 the last whole figure is kept where a later one is smaller and only a lower bound', () => {
  const lines: unknown[] = [];
  const figures = new WholeFigures({ warn: (fields: unknown) => void lines.push(fields) } as never);
  expect(figures.settle('c', { usedBytes: 100, inodes: 10, isWhole: true })).toEqual({
    usedBytes: 100,
    inodes: 10,
  });
  expect(figures.settle('c', { usedBytes: 40, inodes: 20, isWhole: false })).toEqual({
    usedBytes: 100,
    inodes: 20,
  });
  expect(figures.settle('c', { usedBytes: 400, inodes: 5, isWhole: false })).toEqual({
    usedBytes: 400,
    inodes: 10,
  });
  expect(lines).toHaveLength(1);
  expect(figures.settle('c', { usedBytes: 1, inodes: 1, isWhole: true })).toEqual({
    usedBytes: 1,
    inodes: 1,
  });
  figures.keepOnly(new Set());
  expect(figures.settle('c', { usedBytes: 0, inodes: 0, isWhole: false })).toEqual({
    usedBytes: 0,
    inodes: 0,
  });
});

test('S88 a figure that is a lower bound is shown as one while it is one and its container exists', () => {
  const conditions = new Conditions(silentLog);
  const figures = new WholeFigures(silentLog, conditions);
  const [one, other] = ['a', 'b'].map((digit) => `/var/lib/troupe/containers/${digit.repeat(64)}`) as [
    string,
    string,
  ];
  for (const subject of [one, other]) figures.settle(subject, { usedBytes: 40, inodes: 20, isWhole: false });
  figures.settle(one, { usedBytes: 50, inodes: 20, isWhole: false });
  const reason =
    'at least 40 bytes in 20 files: the tree is too large or changes too fast to be counted completely';
  expect(conditions.all()).toEqual(
    ['a', 'b'].map((digit) => ({ type: 'UsageCounted', subject: `container ${digit.repeat(64)}`, reason })),
  );
  figures.settle(one, { usedBytes: 50, inodes: 20, isWhole: true });
  expect(conditions.all()).toHaveLength(1);
  figures.keepOnly(new Set());
  expect(conditions.all()).toEqual([]);
});
