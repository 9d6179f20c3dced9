import type { RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../call/edge.ts';
import { listedSandbox } from '../lookup/lookup.ts';
import type { ServiceOptions } from '../call/service-options.ts';
import { translated } from '../validate/check.ts';
import { resourcesChange } from '../validate/resources.ts';

const RPC = 'UpdatePodSandboxResources';

/**
 * UpdatePodSandboxResources: the kubelet tells what it is about to set on the pod's cgroup, which is its own (since 1.36 before
 * it sets it, and a refusal ends the resize), so that runtimes with a virtual machine can follow (features.md row 37). Ours
 * has nothing to follow; NRI plugins hear of it, and may refuse.
 */
export function updatePodSandboxResources({
  troupe,
}: Pick<ServiceOptions, 'troupe'>): RpcHandler<typeof RuntimeService.method.updatePodSandboxResources> {
  return async ({ podSandboxId, overhead, resources }, context) => {
    const { id } = listedSandbox(troupe.directory, RPC, podSandboxId);
    const wanted = translated(RPC, () => ({
      overhead: resourcesChange('overhead', overhead),
      resources: resourcesChange('resources', resources),
    }));
    await troupe.updateSandbox(id, wanted, context);
    return {};
  };
}
