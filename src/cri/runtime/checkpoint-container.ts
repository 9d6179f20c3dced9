import { fault, FaultError } from '../../base/fault.ts';
import { requestLimits } from '../bounds.ts';
import type { RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../call/edge.ts';
import { listedContainer } from '../lookup/lookup.ts';
import type { ServiceOptions } from '../call/service-options.ts';
import { absolutePath, refuse } from '../validate/check.ts';
import { seconds } from '../validate/seconds.ts';

/**
 * What gRPC itself answers for a method that a server does not have. Kubernetes' suites know a runtime without
 * checkpoints by these words at the start of the message (test/e2e_node/checkpoint_container.go), not by the code.
 */
const ABSENT = 'unknown method CheckpointContainer';

/**
 * CheckpointContainer: writes memory, files and log of a running container to an archive at `location`; the container
 * keeps running. Unimplemented where the node or the runtime can't do that.
 */
export function checkpointContainer({
  troupe,
}: Pick<ServiceOptions, 'troupe'>): RpcHandler<typeof RuntimeService.method.checkpointContainer> {
  return async ({ containerId, location, timeout }, context) => {
    const archive = absolutePath('CheckpointContainer: location', location);
    if (archive.endsWith('/')) refuse('CheckpointContainer: location', 'names a directory');
    const timeoutMs = seconds('CheckpointContainer: timeout', timeout, requestLimits.execMaxMs);
    const { id } = listedContainer(troupe.directory, 'CheckpointContainer', containerId);
    try {
      await troupe.checkpointContainer({ id, archive }, timeoutMs, context);
    } catch (thrown) {
      throw namedAbsent(thrown);
    }
    return {};
  };
}

function namedAbsent(thrown: unknown): unknown {
  if (!(thrown instanceof FaultError) || thrown.fault.kind !== 'unsupported') return thrown;
  const { message, subject } = thrown.fault;
  return new FaultError(
    fault('unsupported', `${ABSENT} on this node: ${message}`, { subject, cause: thrown.fault }),
  );
}
