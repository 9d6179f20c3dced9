import type { RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import type { StreamRpcHandler } from '../call/edge.ts';
import { gatherSandbox, ifItAnswers } from '../stats/gather-stats.ts';
import { sandboxStats } from '../present/stats.ts';
import type { ServiceOptions } from '../call/service-options.ts';
import { sandboxesMeasured } from './list-pod-sandbox-stats.ts';

/**
 * StreamPodSandboxStats: the answer of ListPodSandboxStats, one pod at a time; each is read when the one before was
 * sent.
 */
export function streamPodSandboxStats(
  options: Pick<ServiceOptions, 'troupe' | 'unread'>,
): StreamRpcHandler<typeof RuntimeService.method.streamPodSandboxStats> {
  return async ({ filter }, call, write) => {
    for (const view of sandboxesMeasured(options.troupe, 'StreamPodSandboxStats', filter)) {
      const parts = await ifItAnswers(
        { subject: view.id, answer: gatherSandbox(options, view, call) },
        call,
        options,
      );
      if (parts !== undefined) await write({ podSandboxStats: [sandboxStats(parts)] });
    }
  };
}
