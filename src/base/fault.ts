/**
 * A Fault is the error of every layer. It is plain data, so that an actor's context, the journal and a log line can
 * hold it. Drivers throw `FaultError`; actors keep `context.fault`; `cri/call/status.ts` maps the kind to a gRPC code.
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
  /** The id, path or name that the message is about; empty if it is about nothing in particular. */
  readonly subject: string;
  /** True when the same call may succeed later without a change by the caller. */
  readonly retryable: boolean;
  /**
   * The message repeats what a runtime, a shim or a plugin wrote, which may hold words of a container's command: it is
   * for clients and the log, and must not leave the machine otherwise (S91). Set where that output is quoted.
   */
  readonly quotesOutput?: true;
  /** An effect was ended because another daemon takes over: who is still answered here asks again (F92). */
  readonly endedByHandOver?: true;
  readonly cause?: Fault;
}

/** What a fault may say besides its kind and message. */
interface FaultOptions {
  readonly subject?: string;
  readonly retryable?: boolean;
  readonly quotesOutput?: boolean;
  readonly cause?: Fault;
}

const RETRYABLE: ReadonlySet<FaultKind> = new Set<FaultKind>([
  'notReady',
  'exhausted',
  'timedOut',
  'cancelled',
  'superseded',
]);

/** Longest message that is kept, in characters: longer ones fill the journal and are not read. */
const MESSAGE_CHARS = 4096;

/** Builds a Fault; `retryable` follows from the kind unless stated. */
export function fault(kind: FaultKind, message: string, options: FaultOptions = {}): Fault {
  const base = {
    kind,
    message: printable(withoutCredentials(message)),
    subject: withoutCredentials(options.subject ?? ''),
    retryable: options.retryable ?? RETRYABLE.has(kind),
    ...(options.quotesOutput === true ? { quotesOutput: true as const } : {}),
  };
  return options.cause === undefined ? base : { ...base, cause: options.cause };
}

/** Whether the message repeats output of another program (`Fault.quotesOutput`), itself or with that of its cause. */
export function quotesOutput(value: Fault | undefined): boolean {
  return value !== undefined && (value.quotesOutput === true || quotesOutput(value.cause));
}

/** Whether another daemon that takes over has caused it (`Fault.endedByHandOver`), or has caused its cause. */
export function endedByHandOver(value: Fault | undefined): boolean {
  return value !== undefined && (value.endedByHandOver === true || endedByHandOver(value.cause));
}

/**
 * A fault in the words of another call, whose message repeats that of the one behind it, `why`: it keeps the marks
 * (`Fault.quotesOutput`, `Fault.endedByHandOver`).
 */
export function restated(
  kind: FaultKind,
  message: string,
  why: Fault | undefined,
  options: Omit<FaultOptions, 'quotesOutput'> = {},
): Fault {
  const made = fault(kind, message, { ...options, quotesOutput: quotesOutput(why) });
  return endedByHandOver(why) ? { ...made, endedByHandOver: true } : made;
}

/** A Fault that can be thrown. Only drivers and the edge (`src/cri`) throw it. */
export class FaultError extends Error {
  readonly fault: Fault;
  constructor(value: Fault) {
    super(value.message);
    this.name = 'FaultError';
    this.fault = value;
  }
}

/** Throws a FaultError; an expression, so that it can stand after `??`. */
export function fail(kind: FaultKind, message: string, options: FaultOptions = {}): never {
  throw new FaultError(fault(kind, message, options));
}

/**
 * Any thrown value as a Fault. Anything but a FaultError is an error of the system if it has a `code` such as ENOSPC,
 * else a bug of ours. `attempted`, if given, becomes the beginning of the message.
 */
export function toFault(thrown: unknown, attempted = ''): Fault {
  const prefix = attempted === '' ? '' : `${attempted}: `;
  if (thrown instanceof FaultError) {
    if (attempted === '') return thrown.fault;
    return { ...thrown.fault, message: printable(withoutCredentials(`${prefix}${thrown.fault.message}`)) };
  }
  if (thrown instanceof Error) {
    // an AbortController without a reason gives a DOMException, whose code is a number
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
    // the kernel has made the disk read-only: no other program refused, and its files can still be read (F25)
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
 * Makes text of other programs safe for logs and terminals: control characters and those that change the direction of
 * text become spaces, lone surrogates become the replacement character, and the length is capped.
 */
export function printable(text: string): string {
  const clean = withoutUnsafe(text.toWellFormed()).trim();
  return clean.length <= MESSAGE_CHARS ? clean : `${clean.slice(0, MESSAGE_CHARS - 1)}…`;
}
