/** Types of the events of GetContainerEvents. */
import type { ContainerView, SandboxView } from '../../actors/directory/views.ts';

export type PodEventType = 'created' | 'started' | 'stopped' | 'deleted';

/** One change, with the pod as it was right after the change. */
export interface PodEvent {
  /** Id of the container, or of the sandbox itself. */
  readonly id: string;
  readonly type: PodEventType;
  /** Increases from event to event, even when the wall clock is set back. */
  readonly createdAtNs: bigint;
  /** Undefined only when the sandbox was removed before its container. */
  readonly sandbox: SandboxView | undefined;
  /** The pod's containers that lists show. */
  readonly containers: readonly ContainerView[];
}

/** How far a pod or container has come. Each later stage that it reaches is an event. */
export type PodStage = 'unseen' | 'created' | 'started' | 'stopped';
