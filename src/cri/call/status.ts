/** The one table from Fault to gRPC status, and the message prefixes that the kubelet acts upon. */
import type { Fault, FaultKind } from '../../base/fault.ts';
import { fault, FaultError } from '../../base/fault.ts';

/** The codes of gRPC that troupe answers with (gRPC core, statuscodes.md); a test compares them with the library's. */
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
  // the caller is still there and must not be told that it has gone itself
  superseded: 'aborted',
  denied: 'permissionDenied',
  unsupported: 'unimplemented',
  outside: 'unknown',
  bug: 'internal',
};

/** What the client of an RPC is told. */
export interface Status {
  readonly code: GrpcCodeName;
  readonly message: string;
}

/**
 * The status of a fault. A bug of ours says nothing of our insides, only the id under which the log tells all.
 * The id is in no other message: the kubelet folds repeated events by their text.
 */
export function toStatus(value: Fault, requestId: string): Status {
  const code = codeOfKind[value.kind];
  if (value.kind === 'bug')
    return { code, message: `internal error; the log of troupe tells more under request ${requestId}` };
  return { code, message: value.message };
}

/** How a call ends badly: the only thing that a handler of `cri/call/server.ts` throws on purpose. */
export class RpcError extends Error {
  readonly status: Status;
  constructor(status: Status) {
    super(status.message);
    this.name = 'RpcError';
    this.status = status;
  }
}

/** Words at a message's start by which the kubelet tells errors apart (k8s.io/cri-api, pkg/errors). */
export type KubeletPrefix =
  | 'RegistryUnavailable'
  | 'SignatureValidationFailed'
  | 'RROUnsupported'
  | 'ImageVolumeMountFailed';

/**
 * The same fault, marked for the kubelet. Its kind becomes `outside`: the kubelet strips the text of the
 * status code only from Unknown, and looks for the word at the very start of what is left.
 */
export function withKubeletPrefix(prefix: KubeletPrefix, value: Fault): Fault {
  return fault('outside', `${prefix}: ${value.message}`, {
    subject: value.subject,
    retryable: value.retryable,
    cause: value,
  });
}

/** Words that drivers put where the actors then say what was attempted, and the kind of fault that has each. */
const WORDS: readonly (readonly [KubeletPrefix, FaultKind])[] = [
  ['RegistryUnavailable', 'outside'],
  ['SignatureValidationFailed', 'denied'],
];

/** What was thrown, with such a word moved to the very start, where the kubelet looks for it. */
export function forKubelet(thrown: unknown): unknown {
  if (!(thrown instanceof FaultError)) return thrown;
  const why = thrown.fault;
  const found = WORDS.find(([word, kind]) => why.kind === kind && why.message.includes(`${word}: `));
  if (found === undefined) return thrown;
  const [word] = found;
  return new FaultError(withKubeletPrefix(word, { ...why, message: why.message.replace(`${word}: `, '') }));
}
