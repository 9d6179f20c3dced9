import { existsSync, mkdirSync, readdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { storageLimits } from '../../../../src/oci/bounds.ts';
import { removePath, removePathInSteps } from '../../../../src/oci/trees/remove-tree.ts';
import type { Removal } from '../../../../src/oci/trees/tree-removal.ts';
import { scratchForDeep } from '../../../support/deep-scratch.ts';
import { makeDeep } from '../../../support/deep-tree.ts';

const place = (): string => scratchForDeep('troupe-removal-');
/** As the trash names them. */
const NAME = 'c0ffee'.repeat(5);

function removed(path: string, onStep: () => void = () => undefined): Removal {
  const steps = removePathInSteps(path);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
    onStep();
  }
}

test('F89 directories nested deeper than names grow are deleted', () => {
  const tree = join(place(), NAME);
  mkdirSync(tree);
  makeDeep(tree, 6000);
  removePath(tree);
  expect(existsSync(tree)).toBe(false);
});

test('F89 descriptors and the yields of a deletion are bounded, whatever the depth; entries are counted', () => {
  const root = place();
  const tree = join(root, NAME);
  mkdirSync(tree);
  makeDeep(tree, 3000, 2);
  const before = readdirSync('/proc/self/fd').length;
  let most = 0;
  let steps = 0;
  const removal = removed(tree, () => {
    steps += 1;
    most = Math.max(most, readdirSync('/proc/self/fd').length - before);
  });
  expect(removal).toMatchObject({ entries: 1 + 3000 * 3, failures: [], failed: 0 });
  expect(removal.freedBytes).toBeGreaterThan(0);
  expect(most).toBeLessThanOrEqual(storageLimits.treeDepth + 1);
  expect(steps).toBeGreaterThan((3000 * 3) / storageLimits.treeStep);
  expect(readdirSync('/proc/self/fd').length).toBe(before);
  expect(readdirSync(root)).toEqual([]);
});

test('F89 names of any bytes, and those that the deletion itself uses, are deleted', () => {
  const tree = join(place(), NAME);
  mkdirSync(tree);
  const bytes = Array.from({ length: 255 }, (_, at) => at + 1).filter((byte) => byte !== 0x2f);
  for (const name of [
    Buffer.from(bytes),
    Buffer.alloc(255, 0xff),
    Buffer.from('a\nb'),
    Buffer.from('-rf *'),
  ]) {
    mkdirSync(Buffer.concat([Buffer.from(`${tree}/`), name]));
    writeFileSync(Buffer.concat([Buffer.from(`${tree}/`), name, Buffer.from('/'), name]), '');
  }
  for (let number = 1; number <= 40; number += 1) {
    mkdirSync(join(tree, `~${number}`));
    makeDeep(join(tree, `~${number}`), storageLimits.treeDepth + 10);
  }
  symlinkSync('/', join(tree, '~41'));
  removePath(tree);
  expect(existsSync(tree)).toBe(false);
});

test('F89 many entries in one directory are deleted in batches', () => {
  const tree = join(place(), NAME);
  mkdirSync(tree);
  for (let file = 0; file < 5000; file += 1) writeFileSync(join(tree, `file-${file}`), '');
  expect(removed(tree)).toMatchObject({ entries: 5001, failed: 0 });
  expect(existsSync(tree)).toBe(false);
});

test('a missing path counts as deleted; a file is deleted like a tree; links are not followed', () => {
  const root = place();
  mkdirSync(join(root, 'kept'));
  writeFileSync(join(root, 'kept/file'), '');
  symlinkSync(join(root, 'kept'), join(root, 'link'));
  removePath(join(root, 'none/none'));
  removePath(join(root, 'none'));
  removePath(join(root, 'link'));
  expect(readdirSync(root)).toEqual(['kept']);
  expect(readdirSync(join(root, 'kept'))).toEqual(['file']);
});

test('an aborted deletion closes its descriptors', () => {
  const tree = join(place(), NAME);
  mkdirSync(tree);
  makeDeep(tree, 300, 1);
  const before = readdirSync('/proc/self/fd').length;
  const steps = removePathInSteps(tree);
  steps.next();
  steps.return(undefined as never);
  expect(readdirSync('/proc/self/fd').length).toBe(before);
  removePath(tree);
  expect(existsSync(tree)).toBe(false);
});

test('F89 a directory moved out of the tree during the deletion stays, with its content', () => {
  const [tree, host] = [join(place(), NAME), place()];
  mkdirSync(join(tree, 'a/b/c'), { recursive: true });
  for (let file = 0; file < 5000; file += 1) writeFileSync(join(tree, 'a/b/c', `file-${file}`), '');
  for (const directory of ['a', 'a/b']) mkdirSync(join(tree, directory, 'beside'));
  let yields = 0;
  // the one that is open in the middle, not the one whose files are deleted
  const removal = removed(tree, () => {
    yields += 1;
    if (yields === 1) renameSync(join(tree, 'a/b'), join(host, 'b'));
  });
  expect(removal).toMatchObject({
    failures: ['"a/b": the directory was moved during the deletion'],
    failed: 1,
  });
  expect(readdirSync(join(host, 'b/c')).length).toBeGreaterThanOrEqual(5000 - storageLimits.treeStep);
  removePath(tree);
  expect(existsSync(tree)).toBe(false);
});

test('F89 a tree moved out of the trash during the deletion stays', () => {
  const [root, host] = [place(), place()];
  mkdirSync(join(root, NAME));
  for (let file = 0; file < 5000; file += 1) writeFileSync(join(root, NAME, `file-${file}`), '');
  let yields = 0;
  const removal = removed(join(root, NAME), () => {
    yields += 1;
    if (yields === 1) renameSync(join(root, NAME), join(host, 'kept'));
  });
  expect(removal.failures).toEqual([`"${NAME}": the directory was moved during the deletion`]);
  expect(readdirSync(join(host, 'kept')).length).toBeGreaterThanOrEqual(5000 - storageLimits.treeStep);
});
