import type { RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../call/edge.ts';
import type { ServiceOptions } from '../call/service-options.ts';

/** Version: names and versions. `version` is the kubelet's own version of this API, which has always been `0.1.0`. */
export function version(
  options: Pick<ServiceOptions, 'version'>,
): RpcHandler<typeof RuntimeService.method.version> {
  const answer = {
    version: '0.1.0',
    runtimeName: 'troupe',
    runtimeVersion: options.version,
    runtimeApiVersion: 'v1',
  };
  return async () => answer;
}
