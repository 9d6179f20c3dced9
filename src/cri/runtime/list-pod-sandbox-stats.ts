import type { Troupe } from '../../actors/troupe.ts';
import type { SandboxView } from '../../actors/directory/views.ts';
import type { PodSandboxStatsFilter, RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../call/edge.ts';
import { eachThatAnswers, gatherSandbox } from '../stats/gather-stats.ts';
import { findSandbox, labelTest } from '../lookup/lookup.ts';
import { joined } from '../present/list-bytes.ts';
import { sandboxStatsEntry } from '../present/stats.ts';
import type { ServiceOptions } from '../call/service-options.ts';

/** ListPodSandboxStats: ready sandboxes that match every part of the filter; an unknown id gives an empty list. */
export function listPodSandboxStats(
  options: Pick<ServiceOptions, 'troupe' | 'unread'>,
): RpcHandler<typeof RuntimeService.method.listPodSandboxStats> {
  return async ({ filter }, call) => {
    const views = sandboxesMeasured(options.troupe, 'ListPodSandboxStats', filter);
    const entries = await eachThatAnswers<Uint8Array>(
      views.map((view) => ({
        subject: view.id,
        answer: gatherSandbox(options, view, call).then(sandboxStatsEntry),
      })),
      call,
      options,
    );
    return joined(entries);
  };
}

/** The ready sandboxes that match the filter. */
export function sandboxesMeasured(
  { directory }: Troupe,
  rpc: string,
  filter: PodSandboxStatsFilter | undefined,
): readonly SandboxView[] {
  const { id = '', labelSelector = {} } = filter ?? {};
  const wanted = id === '' ? undefined : findSandbox(directory, rpc, id, 'filter.id');
  const hasLabels = labelTest(`${rpc}: filter.label_selector`, labelSelector);
  return directory
    .sandboxes()
    .filter((view) => view.ready && (id === '' || view === wanted) && hasLabels(view.spec.labels));
}
