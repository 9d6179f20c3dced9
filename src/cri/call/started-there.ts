/**
 * A start that this daemon has begun, and that another one refuses since the container runs: this daemon ended before
 * it knew the outcome. No other request is refused the second time (docs/takeover.md).
 */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  ContainerStatusRequestSchema,
  ContainerStatusResponseSchema,
  StartContainerRequestSchema,
  StartContainerResponseSchema,
} from '../../gen/runtime/v1/api_pb.ts';
import type { Onward } from './call-switch.ts';
import type { CallContext } from './server.ts';
import { RpcError } from './status.ts';

/** The answer to StartContainer if the other daemon shows the container as started; else throws what it answered. */
export async function startedThere(
  onward: Onward,
  name: string,
  request: Uint8Array,
  call: CallContext,
): Promise<Uint8Array> {
  try {
    return await onward.unary(name, request, call);
  } catch (thrown) {
    if (!(thrown instanceof RpcError) || thrown.status.code !== 'failedPrecondition') throw thrown;
    const { containerId } = fromBinary(StartContainerRequestSchema, request);
    const asked = create(ContainerStatusRequestSchema, { containerId });
    const bytes = await onward.unary(
      name.replace('StartContainer', 'ContainerStatus'),
      toBinary(ContainerStatusRequestSchema, asked),
      call,
    );
    const { status } = fromBinary(ContainerStatusResponseSchema, bytes);
    if (status === undefined || status.startedAt === 0n) throw thrown;
    return toBinary(StartContainerResponseSchema, create(StartContainerResponseSchema));
  }
}
