/** Pods and containers as plugins are shown them: what the node has, with the document of each container. */
import type { NriContainer, NriNode, NriPod } from '../ports/nri.ts';
import { toFault } from '../base/fault.ts';
import type { ContainerId, SandboxId } from '../base/ids.ts';
import type { Log } from '../base/log.ts';
import type { OciSpec } from '../oci/runtime/spec/types.ts';
import { boundedContainerMessage, podMessage } from './facts.ts';
import type { ContainerMessage, PodMessage } from './facts.ts';

export interface DescriptionsOptions {
  /** A container's document as it was written; undefined for one of an earlier boot. */
  readonly documentOf: (id: ContainerId) => Promise<OciSpec | undefined>;
  /** The pod's pinned namespaces. */
  readonly namespacesOf: (pod: NriPod) => readonly { readonly type: string; readonly path: string }[];
  readonly log: Log;
}

export class Descriptions {
  readonly #options: DescriptionsOptions;
  readonly #node: () => NriNode | undefined;

  /** `node`: the one that is attached by now. */
  constructor(options: DescriptionsOptions, node: () => NriNode | undefined) {
    this.#options = options;
    this.#node = node;
  }

  pod(pod: NriPod): PodMessage {
    return podMessage(pod, this.#options.namespacesOf(pod));
  }

  /** Undefined for one that the node does not know. */
  podOf(id: SandboxId): PodMessage | undefined {
    const pod = this.#node()?.pod(id);
    return pod === undefined ? undefined : this.pod(pod);
  }

  /** A container with its pod, as it is by `now`; undefined for one that the node does not know. */
  async aboutOf(
    id: ContainerId,
    now: Partial<NriContainer> = {},
  ): Promise<{ readonly pod: PodMessage; readonly container: ContainerMessage } | undefined> {
    const seen = this.#node()?.container(id);
    if (seen === undefined) return undefined;
    const container = { ...seen, ...now };
    const pod = this.podOf(container.spec.key.sandboxId) ?? { id: container.spec.key.sandboxId };
    return { pod, container: await this.#container(container) };
  }

  /** Each when it is asked for. */
  async *each(containers: readonly NriContainer[]): AsyncGenerator<ContainerMessage> {
    for (const container of containers) yield await this.#container(container);
  }

  async #container(container: NriContainer): Promise<ContainerMessage> {
    return boundedContainerMessage(container, await this.#documentOf(container.id));
  }

  /** One that can't be read is left out: it must not keep a plugin, or news of its container, from the others. */
  async #documentOf(id: ContainerId): Promise<OciSpec | undefined> {
    try {
      return await this.#options.documentOf(id);
    } catch (error) {
      this.#options.log.warn(
        { container: id, reason: toFault(error).message },
        'reported to nri plugins without its document',
      );
      return undefined;
    }
  }
}
