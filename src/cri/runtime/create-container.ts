import type { RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../call/edge.ts';
import { listedSandbox } from '../lookup/lookup.ts';
import { makeContainer } from '../lookup/make-container.ts';
import type { ServiceOptions } from '../call/service-options.ts';

const RPC = 'CreateContainer';

/**
 * CreateContainer: prepares everything but does not start the process. A call with the same name joins one in progress.
 * `sandbox_config` repeats the config of RunPodSandbox: the sandbox's own record is used, but for `privileged`. The
 * kubelet makes it anew from the pod, which may have got a privileged ephemeral container (kubectl debug,
 * `--profile=sysadmin`), and makes no new sandbox for that. The peers, too, go by the request.
 */
export function createContainer(
  options: ServiceOptions,
): RpcHandler<typeof RuntimeService.method.createContainer> {
  return async ({ podSandboxId, config, sandboxConfig }, context) => {
    const { id } = listedSandbox(options.troupe.directory, RPC, podSandboxId);
    const isPrivilegedPod = sandboxConfig?.linux?.securityContext?.privileged ?? false;
    const request = { rpc: RPC, sandboxId: id, config, isPrivilegedPod };
    return { containerId: await makeContainer(options, request, context) };
  };
}
