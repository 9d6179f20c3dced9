import type { RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../call/edge.ts';
import { knownContainer } from '../lookup/lookup.ts';
import type { ServiceOptions } from '../call/service-options.ts';

/** ReopenContainerLog: opens a new log file at the same path, after the kubelet has renamed the old one. */
export function reopenContainerLog({
  troupe,
}: Pick<ServiceOptions, 'troupe'>): RpcHandler<typeof RuntimeService.method.reopenContainerLog> {
  return async ({ containerId }, context) => {
    await troupe.reopenLog(knownContainer(troupe.directory, 'ReopenContainerLog', containerId).id, context);
    return {};
  };
}
