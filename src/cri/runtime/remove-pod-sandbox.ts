import type { RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../edge.ts';
import { findSandbox } from '../lookup.ts';
import type { ServiceOptions } from '../service-options.ts';

/** RemovePodSandbox: success for an unknown id. */
export function removePodSandbox({
  troupe,
}: Pick<ServiceOptions, 'troupe'>): RpcHandler<typeof RuntimeService.method.removePodSandbox> {
  return async ({ podSandboxId }, context) => {
    const sandbox = findSandbox(troupe.directory, 'RemovePodSandbox', podSandboxId);
    if (sandbox !== undefined) await troupe.removeSandbox(sandbox.id, context);
    return {};
  };
}
