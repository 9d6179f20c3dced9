/**
 * vfs: copies all files of the image for each container, for file systems without another driver. Shares blocks if
 * possible.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { copyTree, showTree } from './copied-tree.ts';
import { PRIVATE_MODE } from './modes.ts';
import type { DriverHost, RootfsDriver } from './rootfs-driver.ts';

/** Creates the driver. */
export function vfsDriver(host: DriverHost): RootfsDriver {
  return {
    name: 'vfs',
    check: () => Promise.resolve(),
    mountRoot: async ({ paths, layers, label, owners }) => {
      await copyTree(host, layers, paths.upper, paths.work, label);
      await showTree(paths.upper, paths.rootfs, owners, false);
    },
    mountVolume: async ({ paths, layers, label, owners, target, name }) => {
      await mkdir(paths.trees, { recursive: true, mode: PRIVATE_MODE });
      const tree = join(paths.trees, name);
      await copyTree(host, layers, tree, paths.work, label);
      await showTree(tree, target, owners, true);
    },
  };
}
