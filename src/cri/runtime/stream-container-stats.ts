import type { RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import type { StreamRpcHandler } from '../call/edge.ts';
import { gatherInBatches } from '../stats/gather-stats.ts';
import { containerStatsMessage } from '../present/stats.ts';
import type { ServiceOptions } from '../call/service-options.ts';
import { containersMeasured } from './list-container-stats.ts';

/** StreamContainerStats: the answer of ListContainerStats in parts; each is read when the one before was sent. */
export function streamContainerStats(
  options: Pick<ServiceOptions, 'troupe' | 'unread'>,
): StreamRpcHandler<typeof RuntimeService.method.streamContainerStats> {
  return async ({ filter }, call, write) => {
    const views = containersMeasured(options.troupe, 'StreamContainerStats', filter);
    await gatherInBatches(options, views, call, (parts) =>
      write({ containerStats: parts.map(containerStatsMessage) }),
    );
  };
}
