import type { RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../call/edge.ts';
import { findSandbox } from '../lookup/lookup.ts';
import type { ServiceOptions } from '../call/service-options.ts';

/** RemovePodSandbox: succeeds for an unknown id. */
export function removePodSandbox({
  troupe,
}: Pick<ServiceOptions, 'troupe'>): RpcHandler<typeof RuntimeService.method.removePodSandbox> {
  return async ({ podSandboxId }, context) => {
    const sandbox = findSandbox(troupe.directory, 'RemovePodSandbox', podSandboxId);
    if (sandbox !== undefined) await troupe.removeSandbox(sandbox.id, context);
    return {};
  };
}
