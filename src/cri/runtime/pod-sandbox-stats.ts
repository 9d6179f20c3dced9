import type { RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../edge.ts';
import { gatherSandbox } from '../gather-stats.ts';
import { listedSandbox } from '../lookup.ts';
import { sandboxStats } from '../present/stats.ts';
import type { ServiceOptions } from '../service-options.ts';

/** PodSandboxStats: NotFound for an unknown sandbox. */
export function podSandboxStats({ troupe }: Pick<ServiceOptions, 'troupe'>): RpcHandler<typeof RuntimeService.method.podSandboxStats> {
  return async ({ podSandboxId }, call) => {
    const view = listedSandbox(troupe.directory, 'PodSandboxStats', podSandboxId);
    return { stats: sandboxStats(await gatherSandbox(troupe, view, call)) };
  };
}
