import type { RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../call/edge.ts';
import { findSandbox } from '../lookup/lookup.ts';
import type { ServiceOptions } from '../call/service-options.ts';

/** StopPodSandbox: succeeds for an unknown id. */
export function stopPodSandbox({
  troupe,
}: Pick<ServiceOptions, 'troupe'>): RpcHandler<typeof RuntimeService.method.stopPodSandbox> {
  return async ({ podSandboxId }, context) => {
    const sandbox = findSandbox(troupe.directory, 'StopPodSandbox', podSandboxId);
    if (sandbox !== undefined) await troupe.stopSandbox(sandbox.id, context);
    return {};
  };
}
