import type { RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../edge.ts';
import { knownContainer } from '../lookup.ts';
import type { ServiceOptions } from '../service-options.ts';

/** StartContainer. */
export function startContainer({
  troupe,
}: Pick<ServiceOptions, 'troupe'>): RpcHandler<typeof RuntimeService.method.startContainer> {
  return async ({ containerId }, context) => {
    await troupe.startContainer(knownContainer(troupe.directory, 'StartContainer', containerId).id, context);
    return {};
  };
}
