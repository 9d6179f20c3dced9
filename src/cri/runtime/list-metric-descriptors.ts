import type { RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../call/edge.ts';
import { metricDescriptors } from '../present/metric-descriptors.ts';

/** ListMetricDescriptors: a constant list. */
export function listMetricDescriptors(): RpcHandler<typeof RuntimeService.method.listMetricDescriptors> {
  const descriptors = metricDescriptors();
  return async () => ({ descriptors });
}
