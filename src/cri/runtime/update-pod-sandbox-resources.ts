import type { RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../call/edge.ts';
import { listedSandbox } from '../lookup/lookup.ts';
import type { ServiceOptions } from '../call/service-options.ts';
import { translated } from '../validate/check.ts';
import { announcedLimits } from '../validate/resources.ts';

const RPC = 'UpdatePodSandboxResources';

/**
 * UpdatePodSandboxResources: the kubelet announces the limits that it sets on its own cgroup of the pod, so that
 * runtimes with a virtual machine can resize it. Since 1.36 it does so before it sets them, and a refusal ends the
 * resize. Here it only informs NRI plugins, which may refuse.
 */
export function updatePodSandboxResources({
  troupe,
}: Pick<ServiceOptions, 'troupe'>): RpcHandler<typeof RuntimeService.method.updatePodSandboxResources> {
  return async ({ podSandboxId, overhead, resources }, context) => {
    const { id } = listedSandbox(troupe.directory, RPC, podSandboxId);
    const wanted = translated(RPC, () => ({
      overhead: announcedLimits('overhead', overhead),
      resources: announcedLimits('resources', resources),
    }));
    await troupe.updateSandbox(id, wanted, context);
    return {};
  };
}
