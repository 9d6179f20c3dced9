/**
 * A Fault is how every layer says "this did not work": plain data, so that it
 * can stand in an actor's context, in the journal and in a log line alike.
 * Drivers throw `FaultError`; actors keep `context.fault`; `cri/call/status.ts`
 * turns the kind into a gRPC code.
 */
import { withoutCredentials, withoutUnsafe } from './shown-text.ts';

export type FaultKind =
  | 'invalidRequest'
  | 'notFound'
  | 'conflict'
  | 'wrongState'
  | 'notReady'
  | 'exhausted'
  | 'timedOut'
  | 'cancelled'
  | 'superseded'
  | 'denied'
  | 'unsupported'
  | 'outside'
  | 'bug';

export interface Fault {
  readonly kind: FaultKind;
  /** Begins with what was attempted on which id, ends with the reason. */
  readonly message: string;
  /** The id, path or name that the message is about; empty when there is none. */
  readonly subject: string;
  /** True when the same call may succeed later with nothing changed by the caller. */
  readonly retryable: boolean;
  readonly cause?: Fault;
}

const RETRYABLE: ReadonlySet<FaultKind> = new Set<FaultKind>([
  'notReady',
  'exhausted',
  'timedOut',
  'cancelled',
  'superseded',
]);

/** Longest message that is kept, in characters; more than that helps nobody at 3 a.m. and fills journals. */
const MESSAGE_CHARS = 4096;

/** Builds a Fault; `retryable` follows from the kind unless stated. */
export function fault(
  kind: FaultKind,
  message: string,
  options: { subject?: string; retryable?: boolean; cause?: Fault } = {},
): Fault {
  const base = {
    kind,
    message: printable(withoutCredentials(message)),
    subject: withoutCredentials(options.subject ?? ''),
    retryable: options.retryable ?? RETRYABLE.has(kind),
  };
  return options.cause === undefined ? base : { ...base, cause: options.cause };
}

/** The throwable form of a Fault. Only drivers and the edge throw it. */
export class FaultError extends Error {
  readonly fault: Fault;
  constructor(value: Fault) {
    super(value.message);
    this.name = 'FaultError';
    this.fault = value;
  }
}

/** Throws a FaultError; an expression, so that it can stand after `??`. */
export function fail(
  kind: FaultKind,
  message: string,
  options: { subject?: string; retryable?: boolean; cause?: Fault } = {},
): never {
  throw new FaultError(fault(kind, message, options));
}

/**
 * Any thrown value as a Fault. What is not a FaultError is a bug of ours or an
 * error of the system (`code` such as ENOSPC), which is told apart by its code.
 */
export function toFault(thrown: unknown, attempted = ''): Fault {
  const prefix = attempted === '' ? '' : `${attempted}: `;
  if (thrown instanceof FaultError) {
    if (attempted === '') return thrown.fault;
    return { ...thrown.fault, message: printable(withoutCredentials(`${prefix}${thrown.fault.message}`)) };
  }
  if (thrown instanceof Error) {
    // what an AbortController says when it is given no reason: a DOMException, whose code is a number
    if (thrown.name === 'AbortError') return fault('cancelled', `${prefix}${thrown.message}`);
    const code = (thrown as { code?: unknown }).code;
    return fault(kindOfErrno(typeof code === 'string' ? code : ''), `${prefix}${thrown.message}`);
  }
  return fault('bug', `${prefix}${String(thrown)}`);
}

function kindOfErrno(code: string): FaultKind {
  switch (code) {
    case 'ENOSPC':
    case 'EDQUOT':
    case 'EMFILE':
    case 'ENFILE':
    case 'ENOMEM':
    case 'EAGAIN':
      return 'exhausted';
    // a disk that the kernel has taken from writing: nobody outside refused, and what is there can still be read (F25)
    case 'EROFS':
      return 'wrongState';
    case 'ABORT_ERR':
      return 'cancelled';
    case '':
      return 'bug';
    default:
      return 'outside';
  }
}

/**
 * Text of other programs made safe for logs and terminals: control characters and those that change
 * the direction of the text become spaces, lone surrogates the replacement character, the length is capped.
 */
export function printable(text: string): string {
  const clean = withoutUnsafe(text.toWellFormed()).trim();
  return clean.length <= MESSAGE_CHARS ? clean : `${clean.slice(0, MESSAGE_CHARS - 1)}…`;
}
