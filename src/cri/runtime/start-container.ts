import type { RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../call/edge.ts';
import { knownContainer } from '../lookup/lookup.ts';
import type { ServiceOptions } from '../call/service-options.ts';

/** StartContainer: answers once the process runs. A second call joins one in progress. */
export function startContainer({
  troupe,
}: Pick<ServiceOptions, 'troupe'>): RpcHandler<typeof RuntimeService.method.startContainer> {
  return async ({ containerId }, context) => {
    await troupe.startContainer(knownContainer(troupe.directory, 'StartContainer', containerId).id, context);
    return {};
  };
}
