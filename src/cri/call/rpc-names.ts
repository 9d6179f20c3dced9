/** Names of services and codes as gRPC's libraries write them, for metrics and traces. */
import { ImageService, RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import { grpcCode } from './status.ts';
import type { GrpcCodeName } from './status.ts';

export interface RpcName {
  /** Such as `runtime.v1.RuntimeService`. */
  readonly service: string;
  readonly kind: 'unary' | 'server_stream';
}

const NAMES: ReadonlyMap<string, RpcName> = new Map(
  [RuntimeService, ImageService].flatMap(({ typeName, methods }) =>
    methods.map(({ name, methodKind }) => [
      name,
      { service: typeName, kind: methodKind === 'unary' ? 'unary' : 'server_stream' } as const,
    ]),
  ),
);

/** Of an RPC of the CRI, by its name such as `RunPodSandbox`: no name is in both services. */
export function rpcName(method: string): RpcName {
  return NAMES.get(method) ?? { service: RuntimeService.typeName, kind: 'unary' };
}

/** The code as `codes.Code.String` of grpc-go has it: `OK`, `Canceled`, `DeadlineExceeded`, and its number. */
export function shownCode(name: GrpcCodeName): { readonly text: string; readonly number: number } {
  const number = grpcCode[name];
  if (name === 'ok') return { text: 'OK', number };
  if (name === 'cancelled') return { text: 'Canceled', number };
  return { text: `${name.slice(0, 1).toUpperCase()}${name.slice(1)}`, number };
}
