import { requestLimits } from '../bounds.ts';
import type { RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../call/edge.ts';
import { listedContainer } from '../lookup/lookup.ts';
import type { ServiceOptions } from '../call/service-options.ts';
import { absolutePath, refuse } from '../validate/check.ts';
import { seconds } from '../validate/seconds.ts';

/**
 * CheckpointContainer: writes memory, files and log of a running container to an archive at `location`; the container
 * keeps running. The kubelet treats Unimplemented as a runtime without checkpoints.
 */
export function checkpointContainer({
  troupe,
}: Pick<ServiceOptions, 'troupe'>): RpcHandler<typeof RuntimeService.method.checkpointContainer> {
  return async ({ containerId, location, timeout }, context) => {
    const archive = absolutePath('CheckpointContainer: location', location);
    if (archive.endsWith('/')) refuse('CheckpointContainer: location', 'names a directory');
    const timeoutMs = seconds('CheckpointContainer: timeout', timeout, requestLimits.execMaxMs);
    const { id } = listedContainer(troupe.directory, 'CheckpointContainer', containerId);
    await troupe.checkpointContainer({ id, archive }, timeoutMs, context);
    return {};
  };
}
