import type { RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../call/edge.ts';
import type { EventFeed } from '../call/event-feed.ts';
import { listedSandbox } from '../lookup/lookup.ts';
import { sandboxInfo } from '../present/info.ts';
import { statusesOfPod } from '../present/container.ts';
import { sandboxStatus } from '../present/sandbox.ts';
import type { ServiceOptions } from '../call/service-options.ts';

/**
 * PodSandboxStatus. The containers' statuses and their timestamp serve the kubelet's evented PLEG (KEP-3386), so the
 * answer has them while a client receives events. Without them the kubelet requests the status of each container.
 */
export function podSandboxStatus(
  { troupe, specs }: Pick<ServiceOptions, 'troupe' | 'specs'>,
  feed: EventFeed,
): RpcHandler<typeof RuntimeService.method.podSandboxStatus> {
  return async ({ podSandboxId, verbose }) => {
    const { id } = listedSandbox(troupe.directory, 'PodSandboxStatus', podSandboxId);
    const spec = verbose ? await specs?.sandbox(id) : undefined;
    // read after the wait, so that the whole answer is of one moment
    const view = listedSandbox(troupe.directory, 'PodSandboxStatus', id);
    const answer = {
      status: sandboxStatus(view),
      info: verbose ? sandboxInfo(view, troupe.activity, spec) : {},
    };
    if (!feed.isWatched) return answer;
    return {
      ...answer,
      containersStatuses: statusesOfPod(troupe.directory.containersOf(view.id), (id) => troupe.findImage(id)),
      timestamp: feed.stampNs(),
    };
  };
}
