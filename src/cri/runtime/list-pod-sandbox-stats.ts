import type { RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../edge.ts';
import { gatherSandbox } from '../gather-stats.ts';
import { findSandbox, hasLabels } from '../lookup.ts';
import { sandboxStats } from '../present/stats.ts';
import type { ServiceOptions } from '../service-options.ts';

/** ListPodSandboxStats: ready sandboxes that pass every part of the filter; an unknown id gives an empty list. */
export function listPodSandboxStats({
  troupe,
}: Pick<ServiceOptions, 'troupe'>): RpcHandler<typeof RuntimeService.method.listPodSandboxStats> {
  return async ({ filter }, call) => {
    const { directory } = troupe;
    const { id = '', labelSelector = {} } = filter ?? {};
    const wanted = id === '' ? undefined : findSandbox(directory, 'ListPodSandboxStats', id, 'filter.id');
    const views = directory
      .sandboxes()
      .filter((view) => view.ready && (id === '' || view === wanted) && hasLabels(view.spec.labels, labelSelector));
    const parts = await Promise.all(views.map((view) => gatherSandbox(troupe, view, call)));
    return { stats: parts.map(sandboxStats) };
  };
}
