import type { RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../edge.ts';
import { eachThatAnswers, gatherMetrics } from '../gather-stats.ts';
import { sandboxMetrics } from '../present/metrics.ts';
import type { ServiceOptions } from '../service-options.ts';

/** ListPodSandboxMetrics: of all ready sandboxes. */
export function listPodSandboxMetrics({
  troupe,
}: Pick<ServiceOptions, 'troupe'>): RpcHandler<typeof RuntimeService.method.listPodSandboxMetrics> {
  return async (_request, call) => {
    const readings = troupe.directory.sandboxes().filter((view) => view.ready).map((view) => gatherMetrics(troupe, view, call));
    return { podMetrics: (await eachThatAnswers(readings, call)).map(sandboxMetrics) };
  };
}
