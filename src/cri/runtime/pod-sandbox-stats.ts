import type { RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../call/edge.ts';
import { gatherSandbox } from '../stats/gather-stats.ts';
import { listedSandbox } from '../lookup/lookup.ts';
import { sandboxStats } from '../present/stats.ts';
import type { ServiceOptions } from '../call/service-options.ts';

/** PodSandboxStats: NotFound for an unknown sandbox. */
export function podSandboxStats(
  options: Pick<ServiceOptions, 'troupe' | 'unread'>,
): RpcHandler<typeof RuntimeService.method.podSandboxStats> {
  return async ({ podSandboxId }, call) => {
    const view = listedSandbox(options.troupe.directory, 'PodSandboxStats', podSandboxId);
    return { stats: sandboxStats(await gatherSandbox(options, view, call)) };
  };
}
