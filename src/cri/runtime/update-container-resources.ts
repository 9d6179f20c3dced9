import type { RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../call/edge.ts';
import { listedContainer } from '../lookup/lookup.ts';
import type { ServiceOptions } from '../call/service-options.ts';
import { translated, unset } from '../validate/check.ts';
import { resourcesChange } from '../validate/resources.ts';

const RPC = 'UpdateContainerResources';

/**
 * UpdateContainerResources: sets limits of a created or running container, also during the grace period of its stop.
 * Zero and empty values leave a limit unchanged. When it answers, the limits are in force, recorded and reported by
 * ContainerStatus. The request's annotations are ignored.
 */
export function updateContainerResources({
  troupe,
}: Pick<ServiceOptions, 'troupe'>): RpcHandler<typeof RuntimeService.method.updateContainerResources> {
  return async ({ containerId, linux, windows }, context) => {
    const { id } = listedContainer(troupe.directory, RPC, containerId);
    const change = translated(RPC, () => {
      unset('windows', windows === undefined, 'Windows containers are');
      return resourcesChange('linux', linux);
    });
    await troupe.updateContainer(id, change, context);
    return {};
  };
}
