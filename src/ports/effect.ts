/** What every call of a port gets beside its input. */

/** What an effect waits on at this moment, for people: shown by introspection and in DeadlineExceeded messages. */
export interface Waiting {
  /** Such as `CNI ADD bridge`, `runc create`. No secrets, no payloads. */
  readonly on: string;
  readonly argv?: readonly string[];
  readonly pid?: number;
}

export interface EffectContext {
  /** Aborted when the result is no longer wanted; the driver then ends its children and rejects. */
  readonly signal: AbortSignal;
  /** The driver's bound for the whole call, in milliseconds from now. */
  readonly timeoutMs: number;
  /** Tells what the call waits on now; the last one stands. */
  note(waiting: Waiting): void;
}
