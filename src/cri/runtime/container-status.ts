import type { RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../edge.ts';
import { listedContainer } from '../lookup.ts';
import { containerStatus as present } from '../present/container.ts';
import { containerInfo } from '../present/info.ts';
import type { ServiceOptions } from '../service-options.ts';

/** ContainerStatus: NotFound for an unknown id, and for one that nobody was handed. */
export function containerStatus({ troupe }: Pick<ServiceOptions, 'troupe'>): RpcHandler<typeof RuntimeService.method.containerStatus> {
  return async ({ containerId, verbose }) => {
    const view = listedContainer(troupe.directory, 'ContainerStatus', containerId);
    return { status: present(view, (id) => troupe.findImage(id)), info: verbose ? containerInfo(view, troupe.activity) : {} };
  };
}
