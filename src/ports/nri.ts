/**
 * Plugins of the Node Resource Interface (github.com/containerd/nri). They receive the lifecycle events of
 * pods and containers, may refuse a start and may change a container. Their changes to a container that is
 * being created are changes of its OCI spec: see the bundle writer (src/oci/runtime/bundle/bundle.ts).
 *
 * Calls run one after the other over all pods, in the order in which they were made, as plugins expect.
 */
import type { ContainerId, SandboxId } from '../base/ids.ts';
import type { EffectContext } from './effect.ts';
import type { ExitFact, ProcessIdentity } from './journal.ts';
import type { ContainerSpec, ImageUse, Resources, SandboxSpec } from './specs.ts';

/** Events of a pod. Plugins can refuse only `RunPodSandbox`: the call then rejects. */
export type NriPodEvent = 'RunPodSandbox' | 'PostUpdatePodSandbox' | 'StopPodSandbox' | 'RemovePodSandbox';

/** Events of a container. Plugins can refuse only `StartContainer`: the call then rejects. */
export type NriContainerEvent =
  | 'PostCreateContainer'
  | 'StartContainer'
  | 'PostStartContainer'
  | 'PostUpdateContainer'
  | 'StopContainer'
  | 'RemoveContainer';

/** A pod as plugins see it. */
export interface NriPod {
  readonly id: SandboxId;
  readonly spec: SandboxSpec;
  readonly ips: readonly string[];
  readonly pause: ProcessIdentity | undefined;
}

/** A container as plugins see it. */
export interface NriContainer {
  readonly id: ContainerId;
  readonly spec: ContainerSpec;
  readonly image: ImageUse;
  readonly criState: 'created' | 'running' | 'exited';
  readonly init: ProcessIdentity | undefined;
  readonly createdAtNs: bigint;
  readonly startedAtNs: bigint | undefined;
  readonly exit: ExitFact | undefined;
}

/** The node as plugins see and change it; implemented by the actors. */
export interface NriNode {
  /** The pods that CRI clients see. */
  pods(): readonly NriPod[];
  containers(): readonly NriContainer[];
  /** Includes a pod that is being created or removed. */
  pod(id: SandboxId): NriPod | undefined;
  container(id: ContainerId): NriContainer | undefined;
  /** Changes limits without calling plugins; fields unset in `change` stay. Never waits for a plugin. */
  update(id: ContainerId, change: Resources, signal: AbortSignal): Promise<void>;
  /** Ends a container at once, as if its client had requested it. */
  evict(id: ContainerId, reason: string, signal: AbortSignal): Promise<void>;
}

/** A connected plugin, or one that has left. */
export interface NriPlugin {
  /** Index and name, such as `10-logger`. */
  readonly id: string;
  /** Why it left; empty while it is connected. */
  readonly gone: string;
}

export interface NriPort {
  /** Connected plugins in the order in which they are called, then those that left last, oldest first. */
  plugins(): readonly NriPlugin[];
  /** False when no plugin is connected: none of the calls below is needed then. */
  isActive(): boolean;
  /** Called once, before any plugin may connect. */
  attach(node: NriNode): void;
  /** Settles when each plugin has answered or has been dropped for not answering. */
  notifyPod(event: NriPodEvent, id: SandboxId, fx: EffectContext): Promise<void>;
  /** `exit` is given where it is not journalled yet. */
  notifyContainer(
    event: NriContainerEvent,
    id: ContainerId,
    fx: EffectContext,
    exit?: ExitFact,
  ): Promise<void>;
  /**
   * The pod's own limits change: the overhead and the sum of its containers, as the kubelet states them.
   * Plugins may refuse.
   */
  updatePod(
    id: SandboxId,
    wanted: { readonly overhead: Resources; readonly resources: Resources },
    fx: EffectContext,
  ): Promise<void>;
  /**
   * A client requests these limits; returns them as the plugins changed them. Changes that plugins make to
   * other containers are done when it settles. Plugins may refuse.
   */
  updateContainer(id: ContainerId, change: Resources, fx: EffectContext): Promise<Resources>;
}

/** The port where no plugin is configured. */
export const noPlugins: NriPort = {
  plugins: () => [],
  isActive: () => false,
  attach: () => undefined,
  notifyPod: () => Promise.resolve(),
  notifyContainer: () => Promise.resolve(),
  updatePod: () => Promise.resolve(),
  updateContainer: (_id, change) => Promise.resolve(change),
};
