/** Pods and containers that plugins have been informed about: events of any other are not sent. */
import type { ContainerId, SandboxId } from '../base/ids.ts';
import type { NriContainer, NriNode, NriPod } from '../ports/nri.ts';

type Stage = 'active' | 'ended';

export class Known {
  readonly pods = new Map<SandboxId, Stage>();
  readonly containers = new Map<ContainerId, Stage>();

  /**
   * Everything that a joining plugin must know: what CRI clients see, and what is being created and was sent
   * to other plugins. From now on all of it counts as known. What was removed while no plugin was connected
   * is dropped.
   */
  synchronize(node: NriNode): {
    readonly pods: readonly NriPod[];
    readonly containers: readonly NriContainer[];
  } {
    for (const id of [...this.pods.keys()]) if (node.pod(id) === undefined) this.pods.delete(id);
    for (const id of [...this.containers.keys()])
      if (node.container(id) === undefined) this.containers.delete(id);
    for (const { id } of node.pods()) if (!this.pods.has(id)) this.pods.set(id, 'active');
    for (const { id } of node.containers()) if (!this.containers.has(id)) this.containers.set(id, 'active');
    return {
      pods: active(this.pods).flatMap((id) => node.pod(id) ?? []),
      containers: active(this.containers).flatMap((id) => node.container(id) ?? []),
    };
  }
}

function active<Id>(stages: ReadonlyMap<Id, Stage>): readonly Id[] {
  return [...stages].filter(([, stage]) => stage === 'active').map(([id]) => id);
}
