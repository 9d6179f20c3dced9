/** What plugins have heard of: news of anything else would be of a stranger. */
import type { ContainerId, SandboxId } from '../base/ids.ts';
import type { NriContainer, NriNode, NriPod } from '../ports/nri.ts';

type Stage = 'lives' | 'ended';

export class Known {
  readonly pods = new Map<SandboxId, Stage>();
  readonly containers = new Map<ContainerId, Stage>();

  /**
   * Everything that a plugin which comes now must know: what clients see, and what is on its way and was told to others.
   * From now on it is known. What has gone while no plugin was there is forgotten.
   */
  meet(node: NriNode): { readonly pods: readonly NriPod[]; readonly containers: readonly NriContainer[] } {
    for (const id of [...this.pods.keys()]) if (node.pod(id) === undefined) this.pods.delete(id);
    for (const id of [...this.containers.keys()])
      if (node.container(id) === undefined) this.containers.delete(id);
    for (const { id } of node.pods()) if (!this.pods.has(id)) this.pods.set(id, 'lives');
    for (const { id } of node.containers()) if (!this.containers.has(id)) this.containers.set(id, 'lives');
    return {
      pods: living(this.pods).flatMap((id) => node.pod(id) ?? []),
      containers: living(this.containers).flatMap((id) => node.container(id) ?? []),
    };
  }
}

function living<Id>(stages: ReadonlyMap<Id, Stage>): readonly Id[] {
  return [...stages].filter(([, stage]) => stage === 'lives').map(([id]) => id);
}
