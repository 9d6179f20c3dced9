import { edgeLimits } from '../bounds.ts';
import type { RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import type { StreamRpcHandler } from '../call/edge.ts';
import { containerList } from '../present/container.ts';
import type { ServiceOptions } from '../call/service-options.ts';
import { containersListed } from './list-containers.ts';

/** StreamContainers: the answer of ListContainers in parts, all of the same moment. */
export function streamContainers({
  troupe,
}: Pick<ServiceOptions, 'troupe'>): StreamRpcHandler<typeof RuntimeService.method.streamContainers> {
  return async ({ filter }, _context, write) => {
    const views = containersListed(troupe, 'StreamContainers', filter);
    for (const batch of containerList.batches(views, edgeLimits.listBatchItems, edgeLimits.listBatchBytes))
      await write(batch);
  };
}
