/**
 * Decides who answers a call: the handlers of this daemon, or the daemon that has taken over from it. While a hand-over
 * is under way, calls that change something wait; reads are answered from the views. A call in flight whose outcome the
 * hand-over prevents is asked again, of the other daemon or of this one if it goes on: requests join by name, so that
 * asking again is as a client's retry (docs/takeover.md).
 */
import { onAbort } from '../../base/abort.ts';
import { endedByHandOver, fault, FaultError } from '../../base/fault.ts';
import { relayLimits } from '../bounds.ts';
import { isRead } from './reads.ts';
import type { MovedMessage } from './moved-message.ts';
import type { CallContext, StreamHandler, UnaryHandler } from './server.ts';
import { startedThere } from './started-there.ts';
import { abortError, RpcError, toStatus } from './status.ts';

/** Asks the daemon that has taken over. */
export interface Onward {
  unary(name: string, request: Uint8Array, call: CallContext): Promise<Uint8Array>;
  stream(
    name: string,
    request: Uint8Array,
    call: CallContext,
    write: (message: Uint8Array) => Promise<void>,
  ): Promise<void>;
}

/** Ends in the process that began it: its command runs as a child of it. */
export const STAYS: ReadonlySet<string> = new Set(['ExecSync']);
const EVENTS = 'GetContainerEvents';
export const START = 'StartContainer';

type Settled = { readonly bytes: Uint8Array | MovedMessage } | { readonly thrown: unknown };
type Write = (message: Uint8Array) => Promise<void>;

export class CallSwitch {
  #isHeld = false;
  /** How often calls were held. An error of a call that a hold fell into may be caused by it. */
  #holds = 0;
  #onward: Onward | undefined;
  /** Whether the other daemon has answered: until then reads are answered here. */
  #isReached = false;
  /** Resolves at the next change of the ones above. */
  #change = Promise.withResolvers<void>();
  /** For each call in flight that may be asked again: stops waiting for the handler of this daemon. */
  readonly #leaving = new Set<() => void>();
  readonly #relayed = new Set<RelayedEvents>();

  /** From now on calls that change something wait, and no error is answered. */
  hold(): void {
    this.#isHeld = true;
    this.#holds += 1;
    this.#changed();
  }

  /** This daemon goes on. */
  resume(): void {
    this.#isHeld = false;
    this.#changed();
  }

  /**
   * From now on the other daemon answers. Reads have no gap: they are answered here until it can be reached.
   * @param reached settles then; without one, it can be reached now
   */
  pass(onward: Onward, reached?: Promise<void>): void {
    this.#onward = onward;
    this.#isReached = reached === undefined;
    void reached?.then(() => {
      this.#isReached = true;
      this.#changed();
    });
    this.#isHeld = false;
    for (const leave of [...this.#leaving]) leave();
    this.#changed();
  }

  /** Sends an event of the other daemon to the streams that began here. */
  event(message: Uint8Array): void {
    for (const stream of [...this.#relayed]) stream.push(message);
  }

  /** Ends the streams that began here: events may be missing, and their clients have to list again. */
  endEvents(reason: string): void {
    for (const stream of [...this.#relayed]) stream.end(reason);
  }

  methods(handlers: Readonly<Record<string, UnaryHandler>>): Record<string, UnaryHandler> {
    return Object.fromEntries(Object.entries(handlers).map(([name, one]) => [name, this.#unary(name, one)]));
  }

  streams(handlers: Readonly<Record<string, StreamHandler>>): Record<string, StreamHandler> {
    return Object.fromEntries(Object.entries(handlers).map(([name, one]) => [name, this.#stream(name, one)]));
  }

  #unary(name: string, handler: UnaryHandler): UnaryHandler {
    return async (request, call) => {
      let [isBegun, isAskedOnce] = [false, false];
      for (;;) {
        const onward = this.#onwardOf(name);
        if (onward !== undefined) {
          if (isBegun && shortName(name) === START)
            return startedThere((one, bytes) => onward.unary(one, bytes, call), name, request);
          return onward.unary(name, request, call);
        }
        if (this.#isHeld && !isRead(shortName(name))) {
          await this.#nextChange(call.signal);
          continue;
        }
        const [holds, wasHeld] = [this.#holds, this.#isHeld];
        const outcome = await this.#here(shortName(name), handler, request, call);
        isBegun = outcome === undefined || !isRefusal(outcome);
        if (outcome === undefined) continue;
        if ('bytes' in outcome) return outcome.bytes;
        // an effect may report that it was aborted only after this daemon goes on
        let isItsFault = wasHeld || this.#holds !== holds || this.#onward !== undefined;
        // and a call that came after that may have joined what had begun before: what it joins next is new
        if (!isItsFault && !isAskedOnce) isItsFault = isAskedOnce = isOfHandOver(outcome.thrown);
        if (!isItsFault || STAYS.has(shortName(name)) || call.signal.aborted) throw outcome.thrown;
        if (this.#isHeld || (this.#onward !== undefined && !this.#isReached))
          await this.#nextChange(call.signal);
      }
    };
  }

  #stream(name: string, handler: StreamHandler): StreamHandler {
    return async (request, call, write) => {
      const onward = this.#onwardOf(name);
      if (onward !== undefined) return onward.stream(name, request, call, write);
      if (shortName(name) !== EVENTS) return handler(request, call, write);
      return this.#eventsHere(handler, request, call, write);
    };
  }

  /** Undefined while this daemon answers. */
  #onwardOf(name: string): Onward | undefined {
    return !this.#isReached && isRead(shortName(name)) ? undefined : this.#onward;
  }

  #changed(): void {
    const { resolve } = this.#change;
    this.#change = Promise.withResolvers<void>();
    resolve();
  }

  /** Rejects if the caller goes first. */
  #nextChange(signal: AbortSignal): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      const stopListening = onAbort(signal, () => reject(abortError(signal)));
      void this.#change.promise.then(() => {
        stopListening();
        resolve();
      });
    });
  }

  /** The outcome of the handler of this daemon; undefined once the other daemon answers in its place. */
  #here(
    rpc: string,
    handler: UnaryHandler,
    request: Uint8Array,
    call: CallContext,
  ): Promise<Settled | undefined> {
    return new Promise<Settled | undefined>((resolve) => {
      const leave = (): void => end(undefined);
      const end = (outcome: Settled | undefined): void => {
        this.#leaving.delete(leave);
        resolve(outcome);
      };
      if (!STAYS.has(rpc)) this.#leaving.add(leave);
      handler(request, call).then(
        (bytes) => end({ bytes }),
        (thrown: unknown) => end({ thrown }),
      );
    });
  }

  async #eventsHere(
    handler: StreamHandler,
    request: Uint8Array,
    call: CallContext,
    write: Write,
  ): Promise<void> {
    const relayed = new RelayedEvents(write);
    this.#relayed.add(relayed);
    try {
      await Promise.race([handler(request, call, (message) => relayed.own(message)), relayed.ended]);
    } finally {
      this.#relayed.delete(relayed);
    }
  }
}

/** One stream of events: those of this daemon, then those of the other one, in order. */
class RelayedEvents {
  readonly #write: Write;
  #last: Promise<void> = Promise.resolve();
  #bytes = 0;
  readonly #end = Promise.withResolvers<never>();

  constructor(write: Write) {
    this.#write = write;
    this.#end.promise.catch(() => undefined);
  }

  /** Rejects when the stream can't go on. */
  get ended(): Promise<never> {
    return this.#end.promise;
  }

  own(message: Uint8Array): Promise<void> {
    const done = this.#last.then(() => this.#write(message));
    this.#last = done.catch(() => undefined);
    return done;
  }

  push(message: Uint8Array): void {
    if (this.#bytes > 0 && this.#bytes + message.length > relayLimits.eventBytes)
      return this.end(`the client is more than ${relayLimits.eventBytes} bytes of events behind, list again`);
    this.#bytes += message.length;
    void this.own(message)
      .catch(() => undefined)
      .then(() => {
        this.#bytes -= message.length;
      });
  }

  end(reason: string): void {
    this.#end.reject(new RpcError(toStatus(fault('exhausted', `send events: ${reason}`), '')));
  }
}

/** Whether the handler found that the request does not fit the state, and began nothing. */
function isRefusal(outcome: Settled): boolean {
  return (
    'thrown' in outcome &&
    outcome.thrown instanceof RpcError &&
    outcome.thrown.status.code === 'failedPrecondition'
  );
}

/** Whether it failed by an effect that a hand-over had aborted. The simulation's handlers throw faults. */
function isOfHandOver(thrown: unknown): boolean {
  return thrown instanceof RpcError
    ? thrown.isOfHandOver
    : thrown instanceof FaultError && endedByHandOver(thrown.fault);
}

/** `RunPodSandbox` of `runtime.v1.RuntimeService/RunPodSandbox`. */
export function shortName(name: string): string {
  return name.slice(name.indexOf('/') + 1);
}
