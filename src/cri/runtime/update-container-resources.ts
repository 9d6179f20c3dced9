import type { RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../call/edge.ts';
import { listedContainer } from '../lookup/lookup.ts';
import type { ServiceOptions } from '../call/service-options.ts';
import { translated, unset } from '../validate/check.ts';
import { resourcesChange } from '../validate/resources.ts';

const RPC = 'UpdateContainerResources';

/**
 * UpdateContainerResources: new limits for a created or running container, also within the grace of its stop; zero and
 * empty leave a limit as it is. In force, durable and told by ContainerStatus when it answers. The annotations are for plugins, of which there are none.
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
