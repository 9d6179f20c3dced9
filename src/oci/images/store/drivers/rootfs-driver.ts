/**
 * What tells one storage driver from another: how a root file system is made of a chain of layers, and undone. Layers
 * are unpacked the same way for all of them (unpack-job.ts): what overlayfs takes as a lower directory, whiteouts and
 * all.
 */
import type { ClockPort } from '../../../../ports/clock.ts';
import type { IdMappings } from '../../../../ports/specs.ts';
import type { ContainerId, Digest } from '../../../../base/ids.ts';
import type { Log } from '../../../../base/log.ts';
import type { RootfsPaths, StorePaths } from '../records/layer-layout.ts';

export type DriverName = 'overlay' | 'fuse-overlayfs' | 'vfs' | 'btrfs' | 'erofs';

/** A layer that is whole. */
export interface StoredLayer {
  readonly diffId: Digest;
  /** Its own directory. */
  readonly dir: string;
  /** `layers/` of the store that it is in; of one that is never written, maybe. */
  readonly layers: string;
  /** It is in our own store. */
  readonly isOwn: boolean;
}

/** Of a pod with a user namespace: its pin, and its ids. */
export interface RootfsOwners {
  readonly pin: string;
  readonly mappings: IdMappings;
}

export interface RootRequest {
  readonly id: ContainerId;
  /** `dir` and `rootfs` are there. */
  readonly paths: RootfsPaths;
  /** From the top down, each once, none below one that hides all. */
  readonly layers: readonly StoredLayer[];
  /** SELinux label of all files. */
  readonly label: string | undefined;
  readonly owners: RootfsOwners | undefined;
  /** The cgroup of a program that serves the mount. */
  readonly cgroup: string | undefined;
  /** Begins messages. */
  readonly attempted: string;
}

export interface VolumeRequest extends RootRequest {
  /** An empty directory. */
  readonly target: string;
  /** A name for what is kept of it beside the container's own. */
  readonly name: string;
}

/** What a driver gets of its store. */
export interface DriverHost {
  readonly paths: StorePaths;
  readonly clock: ClockPort;
  readonly log: Log;
  /** Copies layers over each other, in a worker. */
  flatten(request: FlattenRequest): Promise<void>;
  /** Takes a directory away at once and deletes it in the background. Succeeds when it is gone. */
  discard(path: string): Promise<void>;
  /** A fresh name for a directory. */
  newName(): string;
}

export interface FlattenRequest {
  /** Unpacked layers, the lowest first. */
  readonly layers: readonly string[];
  /** A directory on the same file system as `scratch`; what is in it is lower than all layers. */
  readonly target: string;
  /** A directory that is not there; made, and gone again at the end. */
  readonly scratch: string;
  /** SELinux label of all entries. */
  readonly label?: string;
}

export interface RootfsDriver {
  readonly name: DriverName;
  /** What containers need of the program or the kernel. Rejects with the reason where this machine or the file system can't. */
  check(): Promise<void>;
  /** A layer has come: what has to be made of it once. Repeated after a crash; succeeds when it is made. */
  layerAdded?(layer: StoredLayer): Promise<void>;
  /** Before the layer's directory is taken away. Nobody uses it. */
  layerGoing?(layer: StoredLayer): Promise<void>;
  /** Where the layer's files can be read, when that is not its `diff/`. */
  treeOf?(layer: StoredLayer): Promise<string>;
  /** Mounts a writable root at `paths.rootfs`, on which nothing is mounted yet. What an earlier try left may be there. */
  mountRoot(request: RootRequest): Promise<void>;
  /** Mounts an image, read-only, at `target`, on which nothing is mounted yet. */
  mountVolume(request: VolumeRequest): Promise<void>;
  /** After all of a container's mounts were taken off. */
  unmounted?(paths: RootfsPaths): Promise<void>;
  /** Before the container's directory is taken away; nothing of it is mounted. */
  removing?(paths: RootfsPaths, id: ContainerId): Promise<void>;
  /**
   * Ends what a killed daemon was starting and could still make a mount. Called once, before the first look at mounts
   * and the first mount of this process, by the holder of the root's lock.
   */
  takeOver?(): Promise<void>;
  /** What an earlier process left half made outside layers and containers. */
  recover?(): Promise<void>;
  /** Ends what only a running daemon needs. Containers go on. */
  close?(): Promise<void>;
  /** Trees of one container outside its directory's file system, for whoever counts. */
  writtenTrees?(paths: RootfsPaths): readonly string[];
  /** Trees that were made of layers and count as images. */
  imageTrees?(): Promise<readonly string[]>;
}
