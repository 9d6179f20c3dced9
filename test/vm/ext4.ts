// File systems made from a tree without mounting anything.
import { runOrThrow } from '../support/run.ts';
import { BUILD_TIMEOUT_MS } from './trees.ts';

/** Fills a file, or a partition in it (`offset=` among `extended`), with an ext4 of the tree. */
export async function makeExt4(
  tree: string,
  image: string,
  sizeMib: number,
  extended: readonly string[] = [],
): Promise<void> {
  const options = ['root_owner=0:0', 'lazy_itable_init=1', ...extended].join(',');
  await runOrThrow(
    [
      'nice',
      '-n',
      '15',
      'mke2fs',
      '-q',
      '-F',
      '-t',
      'ext4',
      '-b',
      '4096',
      '-d',
      tree,
      '-E',
      options,
      image,
      `${sizeMib}m`,
    ],
    { timeoutMs: BUILD_TIMEOUT_MS },
  );
}
