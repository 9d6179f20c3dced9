/** `storage`: where images and containers' files are kept, and how a root file system is made from an image. */
import { driverNameRefusal } from '../../../oci/images/store/drivers/driver-name.ts';
import { optionalProgramRule } from './config-rule.ts';
import type { ConfigKey } from './config-rule.ts';

export interface StorageSettings {
  /** `overlay`, `fuse-overlayfs`, `vfs`, `btrfs` or `erofs`. */
  readonly driver: string;
  /** Directory of the images; empty: below `root`, with the containers. */
  readonly image_store: string;
  /** Roots of other troupes whose layers are used read-only. */
  readonly additional_stores: readonly string[];
  /** With overlay and erofs: a change of only owner or mode copies no file. */
  readonly overlay_metacopy: boolean;
  /** What containers write is not synced to the disk, not even if they ask for it. */
  readonly overlay_volatile: boolean;
  /** Bytes that one container may write. */
  readonly container_size: number | 'unlimited';
  /** The program of the driver fuse-overlayfs; may be empty with another driver. */
  readonly mount_program: string;
  /** The program of the driver erofs; the same. */
  readonly erofs_program: string;
}

export const storageDefaults: StorageSettings = {
  driver: 'overlay',
  image_store: '',
  additional_stores: [],
  overlay_metacopy: false,
  overlay_volatile: true,
  container_size: 'unlimited',
  mount_program: 'fuse-overlayfs',
  erofs_program: 'mkfs.erofs',
};

export const storageRule: ConfigKey = {
  is: 'table',
  keys: {
    driver: { is: 'judged', judge: driverNameRefusal, reload: false },
    image_store: { is: 'optionalPath', reload: false },
    additional_stores: { is: 'paths', reload: false },
    overlay_metacopy: { is: 'yesOrNo', reload: false },
    overlay_volatile: { is: 'yesOrNo', reload: true },
    container_size: { is: 'limit', least: 1024 * 1024, reload: false },
    mount_program: { ...optionalProgramRule, reload: false },
    erofs_program: { ...optionalProgramRule, reload: false },
  },
};
