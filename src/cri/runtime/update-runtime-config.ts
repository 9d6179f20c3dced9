import type { RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../call/edge.ts';

/** UpdateRuntimeConfig: the pod CIDR of kubenet, which no longer exists. Must succeed; CNI has its own addresses. */
export function updateRuntimeConfig(): RpcHandler<typeof RuntimeService.method.updateRuntimeConfig> {
  return async () => ({});
}
