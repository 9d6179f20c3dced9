/**
 * Plugins of the Node Resource Interface (github.com/containerd/nri): they hear of the life of pods and containers,
 * may refuse a beginning and may change a container. What they change in a container that is being created, they
 * change in its document: see the bundle writer (src/oci/runtime/bundle/bundle.ts).
 *
 * Calls are one after the other over all pods, in the order in which they were asked for, as plugins expect it.
 */
import type { ContainerId, SandboxId } from '../base/ids.ts';
import type { EffectContext } from './effect.ts';
import type { ExitFact, ProcessIdentity } from './journal.ts';
import type { ContainerSpec, ImageUse, Resources, SandboxSpec } from './specs.ts';

/** What plugins hear of a pod. Only `RunPodSandbox` can be refused: the call rejects then. */
export type PodNews = 'RunPodSandbox' | 'PostUpdatePodSandbox' | 'StopPodSandbox' | 'RemovePodSandbox';

/** What plugins hear of a container. Only `StartContainer` can be refused: the call rejects then. */
export type ContainerNews =
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

/** The node as plugins see and change it; the actors' side. */
export interface NriNode {
  /** Those that clients see. */
  pods(): readonly NriPod[];
  containers(): readonly NriContainer[];
  /** Also one that is being made or unmade. */
  pod(id: SandboxId): NriPod | undefined;
  container(id: ContainerId): NriContainer | undefined;
  /** Changes limits without asking plugins about it; what is unset in `change` stays. Never waits on a plugin. */
  update(id: ContainerId, change: Resources, signal: AbortSignal): Promise<void>;
  /** Ends a container at once, as if its client had asked for it. */
  evict(id: ContainerId, reason: string, signal: AbortSignal): Promise<void>;
}

/** A plugin that takes part, or one that did. */
export interface NriPlugin {
  /** Index and name, such as `10-logger`. */
  readonly id: string;
  /** Why it is gone; empty while it takes part. */
  readonly gone: string;
}

export interface NriPort {
  /** Those that take part in the order in which they are called, then the last ones that are gone, oldest first. */
  plugins(): readonly NriPlugin[];
  /** False: there is nobody to be told, and nothing below needs to be called. */
  isActive(): boolean;
  /** Told once, before any plugin is let in. */
  attach(node: NriNode): void;
  /** Settles when each plugin has heard it, or was given up for not answering. */
  tellPod(news: PodNews, id: SandboxId, fx: EffectContext): Promise<void>;
  /** `exit` where it is not on record yet. */
  tellContainer(news: ContainerNews, id: ContainerId, fx: EffectContext, exit?: ExitFact): Promise<void>;
  /** The pod's own limits change: what the kubelet said of overhead and of all containers together. May be refused. */
  updatePod(
    id: SandboxId,
    wanted: { readonly overhead: Resources; readonly resources: Resources },
    fx: EffectContext,
  ): Promise<void>;
  /**
   * A client wants these limits: what plugins make of the wish. Other containers that they change were changed when
   * it settles. May be refused.
   */
  updateContainer(id: ContainerId, change: Resources, fx: EffectContext): Promise<Resources>;
}

/** Where no plugin is configured. */
export const noPlugins: NriPort = {
  plugins: () => [],
  isActive: () => false,
  attach: () => undefined,
  tellPod: () => Promise.resolve(),
  tellContainer: () => Promise.resolve(),
  updatePod: () => Promise.resolve(),
  updateContainer: (_id, change) => Promise.resolve(change),
};
