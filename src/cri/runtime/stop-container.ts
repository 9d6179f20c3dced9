import { portLimits } from '../../ports/bounds.ts';
import type { RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../call/edge.ts';
import { findContainer } from '../lookup/lookup.ts';
import type { ServiceOptions } from '../call/service-options.ts';
import { seconds } from '../validate/seconds.ts';

/** StopContainer: sends the stop signal, waits `timeout` seconds, then sends SIGKILL. Succeeds for an unknown id. */
export function stopContainer({
  troupe,
}: Pick<ServiceOptions, 'troupe'>): RpcHandler<typeof RuntimeService.method.stopContainer> {
  return async ({ containerId, timeout }, context) => {
    const graceMs = seconds('StopContainer: timeout', timeout, portLimits.graceMaxMs);
    const container = findContainer(troupe.directory, 'StopContainer', containerId);
    if (container !== undefined) await troupe.stopContainer(container.id, graceMs, context);
    return {};
  };
}
