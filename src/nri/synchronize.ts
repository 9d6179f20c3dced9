/** Tells a plugin of all pods and containers, in as many messages as they need. */
import { fail } from '../base/fault.ts';
import { nriLimits } from '../base/limits.ts';
import { ContainerSchema, PodSandboxSchema, Plugin as PluginService } from '../gen/nri/v1alpha1/api_pb.ts';
import type { ContainerUpdate } from '../gen/nri/v1alpha1/api_pb.ts';
import { encodeMessage } from '../host/ttrpc.ts';
import type { ContainerMessage, PodMessage } from './facts.ts';
import type { Plugin } from './plugin.ts';

interface Part {
  readonly pods: PodMessage[];
  readonly containers: ContainerMessage[];
}

/** The updates that the plugin wants. Rejects when it can't be told. */
export async function synchronize(
  plugin: Pick<Plugin, 'id' | 'call'>,
  pods: readonly PodMessage[],
  containers: readonly ContainerMessage[],
): Promise<readonly ContainerUpdate[]> {
  const parts = partsOf(pods, containers);
  for (const [index, part] of parts.entries()) {
    const more = index < parts.length - 1;
    const answer = await plugin.call(PluginService.method.synchronize, { ...part, more });
    if (!more) return answer.update;
    // one that does not know of parts takes the first for all
    if (!answer.more || answer.update.length > 0) fail('unsupported', `synchronize nri plugin ${plugin.id}: it takes no more than one message, and ${parts.length} are needed`);
  }
  return [];
}

/** Pods first, since containers name them. One message at least. */
export function partsOf(pods: readonly PodMessage[], containers: readonly ContainerMessage[]): readonly Part[] {
  const parts: Part[] = [{ pods: [], containers: [] }];
  let bytes = 0;
  const partFor = (size: number): Part => {
    let last = parts.at(-1);
    if (last === undefined || (bytes > 0 && bytes + size > nriLimits.synchronizeBytes)) {
      last = { pods: [], containers: [] };
      parts.push(last);
      bytes = 0;
    }
    bytes += size;
    return last;
  };
  for (const pod of pods) partFor(encodeMessage(PodSandboxSchema, pod).length).pods.push(pod);
  for (const container of containers) partFor(encodeMessage(ContainerSchema, container).length).containers.push(container);
  return parts;
}
