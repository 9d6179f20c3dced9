// A disk of a test's own that can be made to hang: a frozen file system lets whoever writes wait in the kernel, where
// nothing ends it, until it is thawed.
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { lacking, notRoot } from './skips/unless.ts';

/** Why there can be none here; empty when there can. */
export const whyNoFrozenDisk = (): string =>
  notRoot() || lacking('/dev/loop-control', '/usr/sbin/mkfs.ext4', '/usr/sbin/fsfreeze');

const BYTES = 256 * 1024 * 1024;

export interface FrozenDisk {
  readonly freeze: () => void;
  readonly thaw: () => void;
  /** Thawed, if it is frozen. */
  readonly remove: () => void;
}

/** Mounts one at the path, which does not exist yet. @param features of mke2fs(8), `-O` */
export function makeDisk(path: string, features = 'has_journal'): FrozenDisk {
  const image = `${path}.disk`;
  let isFrozen = false;
  const freeze = (option: '--freeze' | '--unfreeze'): void => {
    execFileSync('/usr/sbin/fsfreeze', [option, path]);
    isFrozen = option === '--freeze';
  };
  mkdirSync(path, { mode: 0o711 });
  writeFileSync(image, '');
  truncateSync(image, BYTES);
  execFileSync('/usr/sbin/mkfs.ext4', ['-q', '-O', features, image]);
  execFileSync('mount', ['-o', 'loop', image, path]);
  return {
    freeze: () => freeze('--freeze'),
    thaw: () => freeze('--unfreeze'),
    remove: () => {
      if (isFrozen) freeze('--unfreeze');
      execFileSync('umount', ['--lazy', path]);
      rmSync(image);
    },
  };
}
