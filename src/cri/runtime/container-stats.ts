import { fail } from '../../base/fault.ts';
import type { RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../call/edge.ts';
import { gatherContainer } from '../stats/gather-stats.ts';
import { listedContainer } from '../lookup/lookup.ts';
import { containerStatsMessage } from '../present/stats.ts';
import type { ServiceOptions } from '../call/service-options.ts';

/** ContainerStats: NotFound for an unknown container, and for one that has ended: there is nothing to read. */
export function containerStats({
  troupe,
}: Pick<ServiceOptions, 'troupe'>): RpcHandler<typeof RuntimeService.method.containerStats> {
  return async ({ containerId }, call) => {
    const view = listedContainer(troupe.directory, 'ContainerStats', containerId);
    const parts = await gatherContainer({ troupe }, view, call);
    if (parts === undefined)
      fail('notFound', `ContainerStats ${view.id}: the container is ${view.path}, not running`, {
        subject: view.id,
      });
    return { stats: containerStatsMessage(parts) };
  };
}
