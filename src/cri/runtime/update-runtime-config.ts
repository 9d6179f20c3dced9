import type { RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../call/edge.ts';
import type { ServiceOptions } from '../call/service-options.ts';

/**
 * UpdateRuntimeConfig: the node's pod CIDR becomes the subnet of troupe's own network, where that one is the fallback.
 * Networks with a CNI configuration have their own ranges.
 */
export function updateRuntimeConfig({
  usePodCidr,
}: Pick<ServiceOptions, 'usePodCidr'>): RpcHandler<typeof RuntimeService.method.updateRuntimeConfig> {
  return async ({ runtimeConfig }) => {
    const cidr = runtimeConfig?.networkConfig?.podCidr ?? '';
    if (cidr !== '') await usePodCidr?.(cidr);
    return {};
  };
}
