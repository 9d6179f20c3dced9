import { edgeLimits } from '../bounds.ts';
import type { RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import type { StreamRpcHandler } from '../call/edge.ts';
import { sandboxList } from '../present/sandbox.ts';
import type { ServiceOptions } from '../call/service-options.ts';
import { sandboxesListed } from './list-pod-sandbox.ts';

/** StreamPodSandboxes: the answer of ListPodSandbox in parts, all of the same moment. */
export function streamPodSandboxes({
  troupe,
}: Pick<ServiceOptions, 'troupe'>): StreamRpcHandler<typeof RuntimeService.method.streamPodSandboxes> {
  return async ({ filter }, _context, write) => {
    const views = sandboxesListed(troupe, 'StreamPodSandboxes', filter);
    for (const batch of sandboxList.batches(views, edgeLimits.listBatchItems, edgeLimits.listBatchBytes))
      await write(batch);
  };
}
