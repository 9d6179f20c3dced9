import type { RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../call/edge.ts';
import { listedContainer } from '../lookup/lookup.ts';
import { containerStatusMessage } from '../present/container.ts';
import { containerInfo } from '../present/info.ts';
import type { ServiceOptions } from '../call/service-options.ts';

/** ContainerStatus: NotFound for an unknown id, and for a container that lists don't show. */
export function containerStatus({
  troupe,
  specs,
}: Pick<ServiceOptions, 'troupe' | 'specs'>): RpcHandler<typeof RuntimeService.method.containerStatus> {
  return async ({ containerId, verbose }) => {
    const { id } = listedContainer(troupe.directory, 'ContainerStatus', containerId);
    const spec = verbose ? await specs?.container(id) : undefined;
    // read after the wait, so that the whole answer is of one moment
    const view = listedContainer(troupe.directory, 'ContainerStatus', id);
    return {
      status: containerStatusMessage(view, (image) => troupe.findImage(image)),
      info: verbose ? containerInfo(view, troupe.activity, spec) : {},
    };
  };
}
