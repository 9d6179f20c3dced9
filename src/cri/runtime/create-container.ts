import type { RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../call/edge.ts';
import { listedSandbox } from '../lookup/lookup.ts';
import { makeContainer } from '../lookup/make-container.ts';
import type { ServiceOptions } from '../call/service-options.ts';

const RPC = 'CreateContainer';

/**
 * CreateContainer: prepares everything but does not start the process. A call with the same name joins one in progress.
 * `sandbox_config` repeats the config of RunPodSandbox and is ignored: the sandbox's own record is used.
 */
export function createContainer(
  options: ServiceOptions,
): RpcHandler<typeof RuntimeService.method.createContainer> {
  return async ({ podSandboxId, config }, context) => {
    const { id } = listedSandbox(options.troupe.directory, RPC, podSandboxId);
    return { containerId: await makeContainer(options, { rpc: RPC, sandboxId: id, config }, context) };
  };
}
