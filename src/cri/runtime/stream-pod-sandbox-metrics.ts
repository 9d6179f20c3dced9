import type { RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import type { StreamRpcHandler } from '../call/edge.ts';
import { gatherMetrics, ifItAnswers } from '../stats/gather-stats.ts';
import { sandboxMetrics } from '../present/metrics.ts';
import type { ServiceOptions } from '../call/service-options.ts';

/**
 * StreamPodSandboxMetrics: the answer of ListPodSandboxMetrics, one pod at a time; each is read when the one before was
 * sent.
 */
export function streamPodSandboxMetrics(
  options: Pick<ServiceOptions, 'troupe' | 'unread'>,
): StreamRpcHandler<typeof RuntimeService.method.streamPodSandboxMetrics> {
  return async (_request, call, write) => {
    for (const view of options.troupe.directory.sandboxes().filter((one) => one.ready)) {
      const reading = await ifItAnswers(
        { subject: view.id, answer: gatherMetrics(options, view, call) },
        call,
        options,
      );
      if (reading !== undefined) await write({ podSandboxMetrics: [sandboxMetrics(reading)] });
    }
  };
}
