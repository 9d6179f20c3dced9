/**
 * A start that another daemon refuses since the container runs, after this daemon has begun it, or the one that was
 * asked before: that one ended before it knew the outcome, or before it said it. No other request is refused the second
 * time (docs/takeover.md).
 */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  ContainerStatusRequestSchema,
  ContainerStatusResponseSchema,
  StartContainerRequestSchema,
  StartContainerResponseSchema,
} from '../../gen/runtime/v1/api_pb.ts';
import { RpcError } from './status.ts';

/**
 * The answer to StartContainer if the other daemon shows the container as started; else throws what it answered.
 * @param ask asks the other daemon
 * @param sinceNs wall-clock nanoseconds: one that was started before is refused
 */
export async function startedThere(
  ask: (name: string, request: Uint8Array) => Promise<Uint8Array>,
  name: string,
  request: Uint8Array,
  sinceNs = 1n,
): Promise<Uint8Array> {
  try {
    return await ask(name, request);
  } catch (thrown) {
    if (!(thrown instanceof RpcError) || thrown.status.code !== 'failedPrecondition') throw thrown;
    const { containerId } = fromBinary(StartContainerRequestSchema, request);
    const asked = create(ContainerStatusRequestSchema, { containerId });
    const bytes = await ask(
      name.replace('StartContainer', 'ContainerStatus'),
      toBinary(ContainerStatusRequestSchema, asked),
    );
    const { status } = fromBinary(ContainerStatusResponseSchema, bytes);
    if (status === undefined || status.startedAt < sinceNs) throw thrown;
    return toBinary(StartContainerResponseSchema, create(StartContainerResponseSchema));
  }
}
