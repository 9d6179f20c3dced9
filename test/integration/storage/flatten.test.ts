// Layers copied over each other, where the names and sizes are the difficulty.
import {
  closeSync,
  constants,
  copyFileSync,
  ftruncateSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  readdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { SpaceGuard } from '../../../src/host/files/free-space.ts';
import { flattenLayers } from '../../../src/oci/images/store/drivers/flatten.ts';
import { describeAsRoot, scratch } from '../unpack/support.ts';

function sharesBlocks(file: string, clone: string): boolean {
  try {
    copyFileSync(file, clone, constants.COPYFILE_FICLONE_FORCE);
    return true;
  } catch {
    return false;
  }
}

describeAsRoot('layers copied over each other', () => {
  const root = scratch('flatten');
  let count = 0;
  const fresh = (): {
    readonly layer: string;
    readonly target: string;
    readonly copy: (...lower: string[]) => void;
    readonly copyWithin: (space: SpaceGuard) => void;
  } => {
    const dir = join(root, String((count += 1)));
    const [layer, target, links] = ['layer', 'target', 'links'].map((name) => join(dir, name)) as [
      string,
      string,
      string,
    ];
    for (const path of [dir, layer, target]) mkdirSync(path);
    return {
      layer,
      target,
      copy: (...lower) => flattenLayers({ layers: [...lower, layer], target, scratch: links }),
      copyWithin: (space) => flattenLayers({ layers: [layer], target, scratch: links }, space),
    };
  };

  test('F22 copies keep the least free space, unless the file system shares blocks', () => {
    const { layer, target, copyWithin } = fresh();
    const large = Buffer.alloc(3 * 1024 * 1024, 'x');
    for (const name of ['a', 'b']) writeFileSync(join(layer, name), large);
    const space = new SpaceGuard('/store', () => ({
      bsize: 4096,
      blocks: 2 ** 25,
      bavail: 255 * 256,
      files: 0,
      ffree: 0,
    }));
    if (sharesBlocks(join(layer, 'a'), join(root, 'clone'))) {
      copyWithin(space);
      expect(readdirSync(target).toSorted()).toEqual(['a', 'b']);
      return;
    }
    expect(() => copyWithin(space)).toThrow(
      /^no space left on \/store \(needs 3\.0 MiB and 256 MiB reserved for the journal and pods, has 255 MiB\)/u,
    );
    expect(readdirSync(target)).toEqual([]);
  });

  test('S14: a file with holes keeps them', () => {
    const { layer, target, copy } = fresh();
    const fd = openSync(join(layer, 'sparse'), 'w');
    ftruncateSync(fd, 2 ** 40);
    writeSync(fd, 'in the middle', 2 ** 39);
    closeSync(fd);
    copy();
    const { size, blocks } = statSync(join(target, 'sparse'));
    expect([size, blocks * 512 <= 65_536]).toEqual([2 ** 40, true]);
    const copied = openSync(join(target, 'sparse'), 'r');
    const words = Buffer.alloc(13);
    readSync(copied, words, 0, words.length, 2 ** 39);
    closeSync(copied);
    expect(words.toString()).toBe('in the middle');
  });

  test('S48: links are copied and never followed, in the layer and in the target', () => {
    const { layer, target, copy } = fresh();
    writeFileSync(join(root, 'host'), 'the host’s');
    symlinkSync(join(root, 'host'), join(layer, 'link'));
    symlinkSync(root, join(target, 'directory'));
    mkdirSync(join(layer, 'directory'));
    writeFileSync(join(layer, 'directory/host'), 'the layer’s');
    copy();
    expect([
      lstatSync(join(target, 'link')).isSymbolicLink(),
      readFileSync(join(root, 'host'), 'utf8'),
    ]).toEqual([true, 'the host’s']);
    expect([
      lstatSync(join(target, 'directory')).isDirectory(),
      readFileSync(join(target, 'directory/host'), 'utf8'),
    ]).toEqual([true, 'the layer’s']);
  });

  test('names that are not UTF-8 and hard links across directories are copied, and no temporary file is left', () => {
    const { layer, target, copy } = fresh();
    const name = Buffer.concat([Buffer.from(`${layer}/`), Buffer.from([0xff, 0xfe, 0x0a])]);
    writeFileSync(name, 'odd');
    mkdirSync(join(layer, 'a/b'), { recursive: true });
    writeFileSync(join(layer, 'a/b/first'), 'one');
    for (const other of ['second', 'a/third']) linkSync(join(layer, 'a/b/first'), join(layer, other));
    copy();
    expect(
      readdirSync(target, { encoding: 'buffer' }).some((one) => one.equals(Buffer.from([0xff, 0xfe, 0x0a]))),
    ).toBe(true);
    expect(
      new Set(['a/b/first', 'second', 'a/third'].map((one) => statSync(join(target, one)).ino)).size,
    ).toBe(1);
    expect(statSync(join(target, 'second')).nlink).toBe(3);
  });
});
