/** Sends a plugin the list of all pods and containers, in as many messages as needed. */
import type { ClockPort } from '../ports/clock.ts';
import { fail } from '../base/fault.ts';
import { nriLimits } from './bounds.ts';
import { ContainerSchema, PodSandboxSchema, Plugin as PluginService } from '../gen/nri/v1alpha1/api_pb.ts';
import type { ContainerUpdate } from '../gen/nri/v1alpha1/api_pb.ts';
import { encodeMessage } from '../ttrpc/protocol.ts';
import type { ContainerMessage, PodMessage } from './facts.ts';
import type { Plugin } from './plugin.ts';

interface Part {
  readonly pods: PodMessage[];
  readonly containers: ContainerMessage[];
}

export interface SynchronizeBound {
  readonly clock: Pick<ClockPort, 'monoMs'>;
  /**
   * Milliseconds for all of the plugin's calls together, since events of all pods wait meanwhile. Time to
   * read descriptions between the calls does not count.
   */
  readonly callsMs: number;
}

/**
 * Returns the updates that the plugin requests. Rejects with `timedOut` when the calls together exceed the
 * bound, with `unsupported` for a plugin that accepts only one message, and with any error of a call. Each
 * part is sent before the next one is read.
 */
export async function synchronize(
  plugin: Pick<Plugin, 'id' | 'call'>,
  pods: readonly PodMessage[],
  containers: AsyncIterable<ContainerMessage>,
  { clock, callsMs }: SynchronizeBound,
): Promise<readonly ContainerUpdate[]> {
  let before: Part | undefined;
  let spentMs = 0;
  for await (const part of partsOf(pods, containers)) {
    if (before !== undefined) {
      const sinceMs = clock.monoMs();
      const answer = await plugin.call(
        PluginService.method.synchronize,
        { ...before, more: true },
        callsMs - spentMs,
      );
      spentMs += clock.monoMs() - sinceMs;
      // a plugin that does not know of parts takes the first part for the whole list
      if (!answer.more || answer.update.length > 0)
        fail(
          'unsupported',
          `synchronize nri plugin ${plugin.id}: more than one message needed, which the plugin does not support`,
        );
    }
    before = part;
    if (spentMs > callsMs)
      fail('timedOut', `synchronize nri plugin ${plugin.id}: timed out after ${callsMs} ms`);
  }
  return (await plugin.call(PluginService.method.synchronize, { ...before, more: false }, callsMs - spentMs))
    .update;
}

/**
 * Pods come first, since containers refer to them. Yields at least one part. Containers are read one by one:
 * the descriptions of a whole node at once take as much memory as all their OCI specs.
 */
async function* partsOf(
  pods: readonly PodMessage[],
  containers: AsyncIterable<ContainerMessage>,
): AsyncGenerator<Part> {
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
