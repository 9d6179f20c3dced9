import type { RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../call/edge.ts';
import { findContainer } from '../lookup/lookup.ts';
import type { ServiceOptions } from '../call/service-options.ts';

/** RemoveContainer: succeeds for an unknown id. */
export function removeContainer({
  troupe,
}: Pick<ServiceOptions, 'troupe'>): RpcHandler<typeof RuntimeService.method.removeContainer> {
  return async ({ containerId }, context) => {
    const container = findContainer(troupe.directory, 'RemoveContainer', containerId);
    if (container !== undefined) await troupe.removeContainer(container.id, context);
    return {};
  };
}
