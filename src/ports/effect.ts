/** What every call of a port gets besides its input. */

/** What an effect is waiting for, for people: shown by introspection and in DeadlineExceeded messages. */
export interface Waiting {
  /** Such as `CNI ADD bridge`, `runc create`. No secrets, no payloads. */
  readonly on: string;
  readonly argv?: readonly string[];
  readonly pid?: number;
}

export interface EffectContext {
  /** Aborted when the result is no longer wanted; the driver then ends its child processes and rejects. */
  readonly signal: AbortSignal;
  /** Bound for the whole call, in milliseconds from now. */
  readonly timeoutMs: number;
  /** Reports what the call is waiting for now; it replaces the previous note. */
  note(waiting: Waiting): void;
}
