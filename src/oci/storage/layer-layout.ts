/**
 * The layer store's directories, all below one root of mode 0700:
 *
 *   layers/<hex of diff-id>/{diff/, layer.json}   whole and durable; the record is written before the name appears
 *   partial/<random>/{diff/, layer.json}          being unpacked, by this process or one that died
 *   trash/<random>                                renamed away, being deleted
 *   containers/<id>/{upper/, work/, rootfs/}      what a container writes, and where its root is mounted
 */
import { join } from 'node:path';
import type { Digest } from '../../base/ids.ts';
import { hexOf } from '../../base/ids.ts';

export interface StorePaths {
  readonly root: string;
  readonly layers: string;
  readonly partial: string;
  readonly trash: string;
  readonly containers: string;
}

export function storePaths(root: string): StorePaths {
  return {
    root,
    layers: join(root, 'layers'),
    partial: join(root, 'partial'),
    trash: join(root, 'trash'),
    containers: join(root, 'containers'),
  };
}

/** Names inside a layer's directory. */
export const DIFF = 'diff';
export const RECORD = 'layer.json';

/** The layer's directory. */
export function layerDir(paths: StorePaths, diffId: Digest): string {
  return join(paths.layers, hexOf(diffId));
}

/** What overlayfs gets as a lower directory. */
export function layerDiff(paths: StorePaths, diffId: Digest): string {
  return join(paths.layers, hexOf(diffId), DIFF);
}
