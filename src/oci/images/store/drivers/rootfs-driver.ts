/**
 * The interface of storage drivers: how to create a root file system from layers, and how to remove it. Layers are
 * unpacked the same way for all drivers (unpack-job.ts), in the form of an overlayfs lower directory, including
 * whiteouts.
 */
import type { ClockPort } from '../../../../ports/clock.ts';
import type { IdMappings } from '../../../../ports/specs.ts';
import type { ContainerId, Digest } from '../../../../base/ids.ts';
import type { Log } from '../../../../base/log.ts';
import type { KnownEntry } from '../../../trees/small-tree.ts';
import type { RootfsPaths, StorePaths } from '../records/layer-layout.ts';

export type DriverName = 'overlay' | 'fuse-overlayfs' | 'vfs' | 'btrfs' | 'erofs';

/** A complete layer. */
export interface StoredLayer {
  readonly diffId: Digest;
  /** The layer's directory. */
  readonly dir: string;
  /** The `layers/` directory that contains it, possibly in a read-only store. */
  readonly layers: string;
  /** Whether the layer is in this daemon's own store. */
  readonly isOwn: boolean;
}

/** A pod's user namespace: the path of its pin, and its id mappings. */
export interface RootfsOwners {
  readonly pin: string;
  readonly mappings: IdMappings;
}

export interface RootRequest {
  readonly id: ContainerId;
  /** `dir` and `rootfs` exist. */
  readonly paths: RootfsPaths;
  /** From top to bottom, without repeats, and without layers below an opaque root. */
  readonly layers: readonly StoredLayer[];
  /** SELinux label for all files. */
  readonly label: string | undefined;
  readonly owners: RootfsOwners | undefined;
  /** The cgroup for a process that serves the mount. */
  readonly cgroup: string | undefined;
  /** Start of messages. */
  readonly attempted: string;
}

export interface VolumeRequest extends RootRequest {
  /** An empty directory. */
  readonly target: string;
  /** Name for the driver's files of this volume, beside those of the container's root. */
  readonly name: string;
}

/** What the store provides to its driver. */
export interface DriverHost {
  readonly paths: StorePaths;
  readonly clock: ClockPort;
  readonly log: Log;
  /** Copies layers over each other, in a worker. */
  flatten(request: FlattenRequest): Promise<void>;
  /** Moves a directory to the trash, to be deleted in the background. Succeeds if it does not exist. */
  discard(path: string): Promise<void>;
  /** A new random name for a directory. */
  newName(): string;
}

export interface FlattenRequest {
  /** Unpacked layers, lowest first. */
  readonly layers: readonly string[];
  /** A directory on the same file system as `scratch`. Existing content is treated as the lowest layer. */
  readonly target: string;
  /** Path of a directory that is created and deleted again. */
  readonly scratch: string;
  /** SELinux label for all entries. */
  readonly label?: string;
}

export interface RootfsDriver {
  readonly name: DriverName;
  /**
   * What the driver and the kernel leave below a container's directory once nothing is mounted, and where no container
   * writes: deleted by name, which saves listing it.
   */
  readonly leftEntries?: readonly KnownEntry[];
  /** Checks programs, kernel and file system. Rejects with the reason if the driver cannot work here. */
  check(): Promise<void>;
  /** Processes a new layer once. May be repeated after a crash; succeeds if it is already done. */
  layerAdded?(layer: StoredLayer): Promise<void>;
  /** Called before an unused layer is deleted. */
  removingLayer?(layer: StoredLayer): Promise<void>;
  /** The directory with the layer's files, if it is not `diff/`. */
  treeOf?(layer: StoredLayer): Promise<string>;
  /** Mounts a writable root at `paths.rootfs`, where nothing is mounted. Files of an earlier attempt may exist. */
  mountRoot(request: RootRequest): Promise<void>;
  /** Mounts an image read-only at `target`, where nothing is mounted. */
  mountVolume(request: VolumeRequest): Promise<void>;
  /** Called after all mounts of a container were unmounted. */
  unmounted?(paths: RootfsPaths): Promise<void>;
  /** Called before the container's directory is deleted, when nothing is mounted. */
  removingRoot?(paths: RootfsPaths, id: ContainerId): Promise<void>;
  /**
   * Ends processes that a killed daemon was starting and that could still mount. Called once, by the holder of the
   * root's lock, before this daemon reads mounts or mounts anything.
   */
  takeOver?(): Promise<void>;
  /** Finishes or deletes what an earlier daemon left unfinished outside layers and containers. */
  recover?(): Promise<void>;
  /** Releases what only a running daemon needs. Containers are not affected. */
  close?(): Promise<void>;
  /** Trees of a container that are on another device than its directory, to be measured separately. */
  writtenTrees?(paths: RootfsPaths): readonly string[];
  /** Trees that the driver created from layers. They count as image usage. */
  imageTrees?(): Promise<readonly string[]>;
}
