import type { RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import { CgroupDriver } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../call/edge.ts';
import type { ServiceOptions } from '../call/service-options.ts';

/** RuntimeConfig: the cgroup driver. It is always set: the zero value means SYSTEMD. */
export function runtimeConfig({
  cgroupDriver,
}: Pick<ServiceOptions, 'cgroupDriver'>): RpcHandler<typeof RuntimeService.method.runtimeConfig> {
  const driver = cgroupDriver === 'systemd' ? CgroupDriver.SYSTEMD : CgroupDriver.CGROUPFS;
  return async () => ({ linux: { cgroupDriver: driver } });
}
