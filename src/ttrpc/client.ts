/** The client side of a ttrpc connection. */
import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { ClockPort } from '../ports/clock.ts';
import { onAbort } from '../base/abort.ts';
import { FaultError, fail, fault, printable, toFault } from '../base/fault.ts';
import { ttrpcLimits } from './bounds.ts';
import { TTRPC_TYPE } from './frames.ts';
import type { TtrpcFrame } from './frames.ts';
import { RequestSchema, ResponseSchema } from '../gen/ttrpc/ttrpc_pb.ts';
import { TtrpcConnection, codeOfKind, decodeMessage, encodeMessage, kindOfCode } from './protocol.ts';

export interface TtrpcCall {
  /**
   * Milliseconds until the call rejects with `timedOut`; the request carries it, so the server knows it too.
   * Absent: no limit but the end of the connection.
   */
  readonly timeoutMs?: number;
  /** Aborts with `cancelled`. The server does not learn of it: the protocol has no message for that. */
  readonly signal?: AbortSignal;
  /** Replaces the method's own service: other versions serve the same messages under another name. */
  readonly service?: string;
}

export interface TtrpcClientOptions {
  readonly clock: ClockPort;
  /** Names the server in error messages, such as `shim of pod 0123`. */
  readonly peer: string;
  /** Sent with each call. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Called once when the connection ends, whichever side ended it. */
  readonly onClose?: (reason: Error | undefined) => void;
}

/**
 * The request was not sent: it is too long, or the server has stopped reading. The connection is still
 * usable.
 */
export class UnsentError extends FaultError {}

/** The server answered with an error: its code (google.rpc.Code) and its text. */
export class TtrpcRefusal extends FaultError {
  readonly code: number;
  readonly said: string;

  constructor(attempted: string, code: number, said: string) {
    super(
      fault(kindOfCode(code), `${attempted}: ${printable(said) || `code ${code}`}`, { quotesOutput: true }),
    );
    this.code = code;
    this.said = said;
  }
}

interface Pending {
  settle(answer: Uint8Array): void;
  reject(error: Error): void;
}

/** Makes calls over one stream, any number at once. */
export class TtrpcClient {
  readonly #options: TtrpcClientOptions;
  readonly #connection: TtrpcConnection;
  readonly #pending = new Map<number, Pending>();
  /** The protocol gives odd ids to the client. */
  #nextId = 1;

  constructor(stream: Duplex, options: TtrpcClientOptions) {
    this.#options = options;
    this.#connection = new TtrpcConnection(stream, {
      onFrame: (frame) => this.#onFrame(frame),
      onEnd: (reason) => this.#onEnd(reason),
    });
  }

  get isClosed(): boolean {
    return this.#connection.hasEnded;
  }

  /**
   * One call. Rejects with `TtrpcRefusal` when the server answers with an error (its google.rpc.Code mapped
   * to a fault's kind), with `timedOut`, with `cancelled`, with `UnsentError` when the request could not be
   * sent, and with `notReady` when the connection ends first: then nobody knows whether the server carried
   * the call out.
   */
  async call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    message: MessageInitShape<I>,
    call: TtrpcCall = {},
  ): Promise<MessageShape<O>> {
    const attempted = `${this.#options.peer}: ${method.name}`;
    if (call.signal?.aborted === true) fail('cancelled', `${attempted}: no longer wanted`);
    if (this.isClosed) fail('notReady', `${attempted}: the connection has ended`);
    if (this.#pending.size >= ttrpcLimits.pendingCalls)
      fail('exhausted', `${attempted}: ${this.#pending.size} calls are waiting for an answer already`);
    const { service = method.parent.typeName, timeoutMs } = call;
    const payload = encodeMessage(RequestSchema, {
      service,
      method: method.name,
      payload: encodeMessage(method.input, message),
      timeoutNano: timeoutMs === undefined ? 0n : BigInt(Math.max(1, Math.round(timeoutMs))) * 1_000_000n,
      metadata: Object.entries(this.#options.metadata ?? {}).map(([key, value]) => ({ key, value })),
    });
    const answer = await this.#answered(attempted, payload, call);
    const { status, payload: body } = decodeMessage(ResponseSchema, answer);
    if (status !== undefined && status.code !== 0) {
      throw new TtrpcRefusal(attempted, status.code, status.message.slice(0, ttrpcLimits.errorChars));
    }
    return decodeMessage(method.output, body);
  }

  /**
   * As `call`, but undefined when the server answers that the subject of the call is unknown to it or has
   * ended.
   */
  async callUnlessGone<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    message: MessageInitShape<I>,
    call: TtrpcCall = {},
  ): Promise<MessageShape<O> | undefined> {
    try {
      return await this.call(method, message, call);
    } catch (thrown) {
      if (thrown instanceof TtrpcRefusal && saysGone(thrown)) return undefined;
      throw thrown;
    }
  }

  /** Ends the connection; pending calls reject. Repeatable. */
  close(): void {
    this.#connection.close();
  }

  #answered(attempted: string, payload: Uint8Array, { timeoutMs, signal }: TtrpcCall): Promise<Uint8Array> {
    const { clock } = this.#options;
    const streamId = this.#nextId;
    this.#nextId += 2;
    return new Promise((resolve, reject) => {
      let stopListening = (): void => undefined;
      const forget = (): void => {
        this.#pending.delete(streamId);
        if (timer !== undefined) clock.clearTimeout(timer);
        stopListening();
      };
      const refuse = (error: Error): void => {
        forget();
        reject(error);
      };
      const onTimeout = (): void =>
        refuse(
          new FaultError(
            fault('timedOut', `${attempted}: timed out after ${timeoutMs} ms waiting for an answer`),
          ),
        );
      const timer = timeoutMs === undefined ? undefined : clock.setTimeout(onTimeout, timeoutMs);
      const settle = (answer: Uint8Array): void => {
        forget();
        resolve(answer);
      };
      this.#pending.set(streamId, {
        settle,
        reject: (error) =>
          refuse(new FaultError(fault('notReady', `${attempted}: ${printable(error.message)}`))),
      });
      try {
        this.#connection.send({ streamId, type: TTRPC_TYPE.request, flags: 0, payload });
      } catch (error) {
        return refuse(new UnsentError(toFault(error, attempted)));
      }
      stopListening = onAbort(signal, () =>
        refuse(new FaultError(fault('cancelled', `${attempted}: no longer wanted`))),
      );
    });
  }

  #onFrame({ streamId, type, payload }: TtrpcFrame): void {
    const pending = this.#pending.get(streamId);
    // A late answer: its call has timed out or was cancelled.
    if (pending === undefined) return;
    if (type === TTRPC_TYPE.response) pending.settle(payload);
    else pending.reject(new Error(`got a frame of type ${type} instead of a response`));
  }

  #onEnd(reason: Error | undefined): void {
    const error = reason ?? new Error('the connection has ended');
    for (const pending of [...this.#pending.values()]) pending.reject(error);
    this.#options.onClose?.(reason);
  }
}

/**
 * Connects to a Unix socket by path or by abstract name (which begins with NUL). Rejects with the error of
 * the system call (ENOENT, ECONNREFUSED) or with `timedOut`.
 */
export function connectUnix(
  path: string,
  { clock, timeoutMs }: { readonly clock: ClockPort; readonly timeoutMs: number },
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path });
    const timer = clock.setTimeout(() => {
      socket.destroy();
      reject(
        new FaultError(
          fault(
            'timedOut',
            `connect to ${printable(path)}: timed out after ${timeoutMs} ms waiting for the server to accept`,
          ),
        ),
      );
    }, timeoutMs);
    socket.once('error', (error) => {
      clock.clearTimeout(timer);
      reject(error);
    });
    socket.once('connect', () => {
      clock.clearTimeout(timer);
      resolve(socket);
    });
  });
}

/**
 * Old shims answer Unknown where NotFound is meant, but their text still ends with the reason, as Go's
 * wrapped errors do. A text that goes on after it is about something else, such as a file that a runtime did
 * not find.
 */
function saysGone({ code, said }: TtrpcRefusal): boolean {
  if (code === codeOfKind('notFound')) return true;
  return code === codeOfKind('outside') && GONE.test(said.trim());
}

/**
 * The texts of containerd's errdefs, those of runc and crun for an unknown container, and Go's for a process
 * that has ended.
 */
const GONE =
  /(?:^|: )(?:(?:container|process|task|exec|sandbox)(?: with id)?(?: \S+)? )?(?:not found|does not exist|already finished|already exited)(?:: not found)?[.]?$/iu;
