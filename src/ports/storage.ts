/** Layers by diff-id, and the root file systems that are assembled from them. */
import type { ContainerId, Digest, SandboxId } from '../base/ids.ts';
import type { EffectContext } from './effect.ts';
import type { IdMappings, VolumeUse } from './specs.ts';

export interface RootfsInput {
  readonly id: ContainerId;
  /** Lowest first. */
  readonly layers: readonly Digest[];
  /** Images mounted as volumes, read-only; absent for none. */
  readonly volumes?: readonly VolumeUse[] | undefined;
  /** SELinux label of all files in it; absent without SELinux. */
  readonly mountLabel?: string | undefined;
  /**
   * For a pod with a user namespace: the sandbox that pins it, and the owners that the files get on the host.
   */
  readonly userNamespace?: { readonly sandboxId: SandboxId; readonly mappings: IdMappings } | undefined;
  /**
   * The container's sandbox: a program that serves the root file system (FUSE) runs in the pod's cgroup;
   * absent where unknown.
   */
  readonly sandboxId?: SandboxId | undefined;
}

export interface FilesystemUsage {
  readonly mountpoint: string;
  readonly usedBytes: bigint;
  readonly inodesUsed: bigint;
}

export interface StorageFacts {
  /** Layers that are complete. */
  readonly layers: readonly Digest[];
  /** The images' own disk does not answer, so nothing is known about layers. Absent where it does. */
  readonly imagesUnknown?: true;
  /**
   * Roots of additional stores that were not read: a layer that is missing in `layers` may be there. Absent
   * for none.
   */
  readonly unreadStores?: readonly string[];
  /** Containers that have a directory, and whether their root file system is mounted. */
  readonly rootfs: readonly { readonly id: ContainerId; readonly mounted: boolean }[];
}

export interface StoragePort {
  /**
   * Mounts a writable root file system. A missing layer rejects with `notFound` and the layer's name (F27),
   * or with `notReady` and the store's name where an additional store can't be read now.
   */
  mountRootfs(input: RootfsInput, fx: EffectContext): Promise<void>;
  /** Succeeds when not mounted. */
  unmountRootfs(input: RootfsInput, fx: EffectContext): Promise<void>;
  /** Unmounts and deletes what the container wrote. */
  removeRootfs(input: RootfsInput, fx: EffectContext): Promise<void>;
  /** Deletes a layer; the caller knows that nobody uses it. Succeeds when it does not exist. */
  removeLayer(input: { readonly diffId: Digest }, fx: EffectContext): Promise<void>;
  /**
   * Begins to delete what earlier processes left: partial pulls, removed layers and containers. Settles at
   * once, however much there is; what can't be deleted is reported as a condition and tried again at the next
   * call.
   */
  removePartials(fx: EffectContext): Promise<void>;
  observe(fx: EffectContext): Promise<StorageFacts>;
  usage(
    fx: EffectContext,
  ): Promise<{ readonly images: FilesystemUsage; readonly containers: FilesystemUsage }>;
}
