import type { RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../call/edge.ts';
import { eachThatAnswers, gatherMetrics } from '../stats/gather-stats.ts';
import { joined } from '../present/list-bytes.ts';
import { sandboxMetricsEntry } from '../present/metrics.ts';
import type { ServiceOptions } from '../call/service-options.ts';

/** ListPodSandboxMetrics: the metrics of all ready sandboxes. */
export function listPodSandboxMetrics(
  options: Pick<ServiceOptions, 'troupe' | 'unread'>,
): RpcHandler<typeof RuntimeService.method.listPodSandboxMetrics> {
  return async (_request, call) => {
    const views = options.troupe.directory.sandboxes().filter((view) => view.ready);
    const readings = views.map((view) => ({
      subject: view.id,
      answer: gatherMetrics(options, view, call).then(sandboxMetricsEntry),
    }));
    return joined(await eachThatAnswers<Uint8Array>(readings, call, options));
  };
}
