import type { RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../edge.ts';
import { listedSandbox } from '../lookup.ts';
import { sandboxInfo } from '../present/info.ts';
import { sandboxStatus } from '../present/sandbox.ts';
import type { ServiceOptions } from '../service-options.ts';

/** PodSandboxStatus. The containers' statuses are for the event-driven relist, which is not served yet. */
export function podSandboxStatus({
  troupe,
}: Pick<ServiceOptions, 'troupe'>): RpcHandler<typeof RuntimeService.method.podSandboxStatus> {
  return async ({ podSandboxId, verbose }) => {
    const view = listedSandbox(troupe.directory, 'PodSandboxStatus', podSandboxId);
    return { status: sandboxStatus(view), info: verbose ? sandboxInfo(view, troupe.activity) : {} };
  };
}
