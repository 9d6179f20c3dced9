import type { RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../call/edge.ts';
import { listedSandbox } from '../lookup/lookup.ts';
import { makeContainer } from '../lookup/make-container.ts';
import type { ServiceOptions } from '../call/service-options.ts';

const RPC = 'CreateContainer';

/**
 * CreateContainer: everything but the process's start; the same name joins the one on its way. `sandbox_config` is a
 * copy of what RunPodSandbox was given, for runtimes that forget it; the sandbox's own record counts.
 */
export function createContainer(
  options: ServiceOptions,
): RpcHandler<typeof RuntimeService.method.createContainer> {
  return async ({ podSandboxId, config }, context) => {
    const { id } = listedSandbox(options.troupe.directory, RPC, podSandboxId);
    return { containerId: await makeContainer(options, { rpc: RPC, sandboxId: id, config }, context) };
  };
}
