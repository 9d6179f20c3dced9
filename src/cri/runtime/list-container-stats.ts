import type { Troupe } from '../../actors/troupe.ts';
import type { ContainerView } from '../../actors/directory/views.ts';
import type { ContainerStatsFilter, RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../call/edge.ts';
import { gatherEach } from '../stats/gather-stats.ts';
import { chosenContainers } from '../lookup/lookup.ts';
import { joined } from '../present/list-bytes.ts';
import { containerStatsEntry } from '../present/stats.ts';
import type { ServiceOptions } from '../call/service-options.ts';

/** ListContainerStats: running containers that match every part of the filter; an unknown id gives an empty list. */
export function listContainerStats(
  options: Pick<ServiceOptions, 'troupe' | 'unread'>,
): RpcHandler<typeof RuntimeService.method.listContainerStats> {
  return async ({ filter }, call) => {
    const views = containersMeasured(options.troupe, 'ListContainerStats', filter);
    return joined(await gatherEach(options, views, call, containerStatsEntry));
  };
}

/** The containers that match the filter, whether they run or not. */
export function containersMeasured(
  { directory }: Troupe,
  rpc: string,
  filter: ContainerStatsFilter | undefined,
): readonly ContainerView[] {
  const { id = '', podSandboxId = '', labelSelector = {} } = filter ?? {};
  return chosenContainers(directory, rpc, { id, podSandboxId, labelSelector });
}
