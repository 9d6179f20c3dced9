import type { RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../call/edge.ts';

/**
 * UpdateRuntimeConfig: does nothing and succeeds. It carries the pod CIDR for kubenet, which no longer exists; CNI has
 * its own ranges.
 */
export function updateRuntimeConfig(): RpcHandler<typeof RuntimeService.method.updateRuntimeConfig> {
  return async () => ({});
}
