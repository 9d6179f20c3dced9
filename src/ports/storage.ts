/** Layers by diff-id and the root file systems made from them. */
import type { ContainerId, Digest, SandboxId } from '../base/ids.ts';
import type { EffectContext } from './effect.ts';
import type { IdMappings, VolumeUse } from './specs.ts';

export interface RootfsInput {
  readonly id: ContainerId;
  /** Lowest first. */
  readonly layers: readonly Digest[];
  /** Images that are mounted beside it, read-only; left out for none. */
  readonly volumes?: readonly VolumeUse[] | undefined;
  /** SELinux label of all files in it; left out where there is none. */
  readonly mountLabel?: string | undefined;
  /** For a pod with a user namespace: the sandbox that pins it, and the owners that the files shall have on the host. */
  readonly userNamespace?: { readonly sandboxId: SandboxId; readonly mappings: IdMappings } | undefined;
  /** Whose container it is: a program that serves its root file system lives with the pod; left out where nobody knows. */
  readonly sandboxId?: SandboxId | undefined;
}

export interface FilesystemUsage {
  readonly mountpoint: string;
  readonly usedBytes: bigint;
  readonly inodesUsed: bigint;
}

export interface StorageFacts {
  /** Layers that are whole. */
  readonly layers: readonly Digest[];
  /** The images' own disk does not answer: of layers nothing is known. Left out where it does. */
  readonly imagesUnknown?: true;
  /** Roots of additional stores that were not read: a layer that is not in `layers` may be there. Left out for none. */
  readonly unreadStores?: readonly string[];
  /** Containers that have a directory, and whether the root file system is mounted. */
  readonly rootfs: readonly { readonly id: ContainerId; readonly mounted: boolean }[];
}

export interface StoragePort {
  /**
   * A writable root file system, mounted. A missing layer rejects with `notFound` that names it (F27), with
   * `notReady` that names the store where an additional one can't be read now.
   */
  mountRootfs(input: RootfsInput, fx: EffectContext): Promise<void>;
  /** Succeeds when not mounted. */
  unmountRootfs(input: RootfsInput, fx: EffectContext): Promise<void>;
  /** Unmounts and deletes what the container wrote. */
  removeRootfs(input: RootfsInput, fx: EffectContext): Promise<void>;
  /** Deletes a layer; the caller knows that nobody uses it. Succeeds when it is gone. */
  removeLayer(input: { readonly diffId: Digest }, fx: EffectContext): Promise<void>;
  /**
   * Begins to delete what earlier processes left: half-done pulls, removed layers and containers. Settles at once, whatever
   * there is; what can't be deleted is reported as a condition and tried again with the next call.
   */
  removePartials(fx: EffectContext): Promise<void>;
  observe(fx: EffectContext): Promise<StorageFacts>;
  usage(
    fx: EffectContext,
  ): Promise<{ readonly images: FilesystemUsage; readonly containers: FilesystemUsage }>;
}
