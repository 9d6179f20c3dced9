/** Describes the node's pods and containers for plugins, each container with its OCI spec. */
import type { NriContainer, NriNode, NriPod } from '../ports/nri.ts';
import { toFault } from '../base/fault.ts';
import type { ContainerId, SandboxId } from '../base/ids.ts';
import type { Log } from '../base/log.ts';
import type { OciSpec } from '../oci/runtime/spec/types.ts';
import { boundedContainerMessage, podMessage } from './facts.ts';
import type { ContainerMessage, PodMessage } from './facts.ts';

export interface DescriptionsOptions {
  /**
   * A container's OCI spec as written; undefined when it can't be had, as for a container of an earlier boot.
   */
  readonly documentOf: (id: ContainerId) => Promise<OciSpec | undefined>;
  /** The pod's pinned namespaces. */
  readonly namespacesOf: (pod: NriPod) => readonly { readonly type: string; readonly path: string }[];
  readonly log: Log;
}

export class NriDescriptions {
  readonly #options: DescriptionsOptions;
  readonly #node: () => NriNode | undefined;

  /** `node` returns the attached node, undefined before that. */
  constructor(options: DescriptionsOptions, node: () => NriNode | undefined) {
    this.#options = options;
    this.#node = node;
  }

  pod(pod: NriPod): PodMessage {
    return podMessage(pod, this.#options.namespacesOf(pod));
  }

  /** Undefined for a pod that the node does not know. */
  podOf(id: SandboxId): PodMessage | undefined {
    const pod = this.#node()?.pod(id);
    return pod === undefined ? undefined : this.pod(pod);
  }

  /**
   * A container with its pod; members of `now` replace the known ones. Undefined for a container that the
   * node does not know.
   */
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

  /** Describes the containers one by one, on demand. */
  async *each(containers: readonly NriContainer[]): AsyncGenerator<ContainerMessage> {
    for (const container of containers) yield await this.#container(container);
  }

  async #container(container: NriContainer): Promise<ContainerMessage> {
    return boundedContainerMessage(container, await this.#documentOf(container.id));
  }

  /**
   * A spec that can't be read is left out: the plugin must still connect, and the container's event must
   * still be sent.
   */
  async #documentOf(id: ContainerId): Promise<OciSpec | undefined> {
    try {
      return await this.#options.documentOf(id);
    } catch (error) {
      this.#options.log.warn(
        { container: id, reason: toFault(error).message },
        'describing a container to nri plugins without its OCI spec',
      );
      return undefined;
    }
  }
}
