/** Tells a plugin of all pods and containers, in as many messages as they need. */
import { fail } from '../base/fault.ts';
import { actorLimits, nriLimits } from '../base/limits.ts';
import { ContainerSchema, PodSandboxSchema, Plugin as PluginService } from '../gen/nri/v1alpha1/api_pb.ts';
import type { ContainerUpdate } from '../gen/nri/v1alpha1/api_pb.ts';
import { encodeMessage } from '../host/ttrpc.ts';
import type { ContainerMessage, PodMessage } from './facts.ts';
import type { Plugin } from './plugin.ts';

interface Part {
  readonly pods: PodMessage[];
  readonly containers: ContainerMessage[];
}

/**
 * The updates that the plugin wants. Rejects when it can't be told. A part is sent before the next one is asked for. `isLate`:
 * whether all parts together have taken too long, since events of all pods wait meanwhile.
 */
export async function synchronize(
  plugin: Pick<Plugin, 'id' | 'call'>,
  pods: readonly PodMessage[],
  containers: AsyncIterable<ContainerMessage>,
  isLate: () => boolean,
): Promise<readonly ContainerUpdate[]> {
  let before: Part | undefined;
  for await (const part of partsOf(pods, containers)) {
    if (before !== undefined) {
      const answer = await plugin.call(PluginService.method.synchronize, { ...before, more: true });
      // one that does not know of parts takes the first for all
      if (!answer.more || answer.update.length > 0) fail('unsupported', `synchronize nri plugin ${plugin.id}: it takes no more than one message, and more are needed`);
    }
    before = part;
    if (isLate()) fail('timedOut', `synchronize nri plugin ${plugin.id}: it has taken more than ${actorLimits.pluginsMs} ms for all its messages`);
  }
  return (await plugin.call(PluginService.method.synchronize, { ...before, more: false })).update;
}

/**
 * Pods first, since containers name them. One message at least. Containers are asked for one by one: descriptions of all of
 * a node's at once are as large as all of their documents.
 */
async function* partsOf(pods: readonly PodMessage[], containers: AsyncIterable<ContainerMessage>): AsyncGenerator<Part> {
  let part: Part = { pods: [], containers: [] };
  let bytes = 0;
  const isFullWith = (size: number): boolean => {
    const isFull = bytes > 0 && bytes + size > nriLimits.synchronizeBytes;
    bytes = isFull ? size : bytes + size;
    return isFull;
  };
  for (const pod of pods) {
    if (isFullWith(encodeMessage(PodSandboxSchema, pod).length)) {
      yield part;
      part = { pods: [], containers: [] };
    }
    part.pods.push(pod);
  }
  for await (const container of containers) {
    if (isFullWith(encodeMessage(ContainerSchema, container).length)) {
      yield part;
      part = { pods: [], containers: [] };
    }
    part.containers.push(container);
  }
  yield part;
}
