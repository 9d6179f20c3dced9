/** The table from Fault to gRPC status, and the message prefixes by which the kubelet distinguishes errors. */
import type { Fault, FaultKind } from '../../base/fault.ts';
import { fault, FaultError } from '../../base/fault.ts';

/** The gRPC codes that troupe answers with (gRPC core, statuscodes.md). A test compares them with the library's. */
export const grpcCode = {
  ok: 0,
  cancelled: 1,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  aborted: 10,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
} as const;

export type GrpcCodeName = keyof typeof grpcCode;

const codeOfKind: Readonly<Record<FaultKind, GrpcCodeName>> = {
  invalidRequest: 'invalidArgument',
  notFound: 'notFound',
  conflict: 'alreadyExists',
  wrongState: 'failedPrecondition',
  notReady: 'unavailable',
  exhausted: 'resourceExhausted',
  timedOut: 'deadlineExceeded',
  cancelled: 'cancelled',
  // not `cancelled`: the caller still waits, another call ended this one
  superseded: 'aborted',
  denied: 'permissionDenied',
  unsupported: 'unimplemented',
  outside: 'unknown',
  bug: 'internal',
};

/** The status with which an RPC is answered. */
export interface Status {
  readonly code: GrpcCodeName;
  readonly message: string;
}

/**
 * The status of a fault. The message of a bug does not reveal internals, only the request id by which the log has the
 * details. No other message contains the id: the kubelet merges repeated events of the same text.
 */
export function toStatus(value: Fault, requestId: string): Status {
  const code = codeOfKind[value.kind];
  if (value.kind === 'bug')
    return { code, message: `internal error: see the log of troupe for request ${requestId}` };
  return { code, message: value.message };
}

/** How a call fails. The handlers of `cri/call/server.ts` throw nothing else on purpose. */
export class RpcError extends Error {
  readonly status: Status;
  /** Another daemon that takes over has caused it, be it before this call was made (`Fault.endedByHandOver`). */
  readonly isOfHandOver: boolean;
  constructor(status: Status, isOfHandOver = false) {
    super(status.message);
    this.name = 'RpcError';
    this.status = status;
    this.isOfHandOver = isOfHandOver;
  }
}

/** Why a call was aborted, by the reason of its signal (`CallContext`). */
export function abortError({ reason }: AbortSignal): RpcError {
  const why = reason instanceof FaultError ? reason.fault : fault('cancelled', 'the caller has gone');
  return new RpcError(toStatus(why, ''));
}

/** Prefixes of messages by which the kubelet distinguishes errors (k8s.io/cri-api, pkg/errors). */
export type KubeletPrefix =
  | 'RegistryUnavailable'
  | 'SignatureValidationFailed'
  | 'RROUnsupported'
  | 'ImageVolumeMountFailed';

/**
 * The same fault with a prefix for the kubelet. Its kind becomes `outside`, which is answered Unknown: the kubelet
 * strips the text of the status code only from Unknown, and expects the prefix at the start of the rest.
 */
export function withKubeletPrefix(prefix: KubeletPrefix, value: Fault): Fault {
  return fault('outside', `${prefix}: ${value.message}`, {
    subject: value.subject,
    retryable: value.retryable,
    cause: value,
  });
}

/** Prefixes that drivers set, and the kind of fault that has each. The actors put what was attempted before them. */
const WORDS: readonly (readonly [KubeletPrefix, FaultKind])[] = [
  ['RegistryUnavailable', 'outside'],
  ['SignatureValidationFailed', 'denied'],
];

/** The thrown value with such a prefix moved to the start of its message, where the kubelet expects it. */
export function forKubelet(thrown: unknown): unknown {
  if (!(thrown instanceof FaultError)) return thrown;
  const why = thrown.fault;
  const found = WORDS.find(([word, kind]) => why.kind === kind && why.message.includes(`${word}: `));
  if (found === undefined) return thrown;
  const [word] = found;
  return new FaultError(withKubeletPrefix(word, { ...why, message: why.message.replace(`${word}: `, '') }));
}
