/**
 * Byte streams of one direction with back-pressure, shared by streaming (a client's SPDY or WebSocket) and the drivers
 * (pipes, terminals, sockets). They use nothing of Node; each side adapts its own streams.
 */
import { ByteBlocks } from './byte-blocks.ts';
import { fail } from './fault.ts';
import { pieceLimits } from './bounds.ts';

/** Where bytes come from. */
export interface ByteSource {
  /** The next bytes, undefined after the last ones; rejects when the stream failed. One caller at a time. */
  read(): Promise<Uint8Array | undefined>;
  /** Drops all further bytes. Repeatable. */
  cancel(): void;
}

/** Where bytes go. */
export interface ByteSink {
  /** Resolves when more may be written, which may be before the bytes have arrived; rejects once nobody reads them. */
  write(bytes: Uint8Array): Promise<void>;
  /** Half-close: no more will be written. Repeatable; does nothing once the other end is closed. */
  end(): void;
}

/** Copies until the source ends, then ends the sink. If either fails, rejects and cancels the source. */
export async function pump(source: ByteSource, sink: ByteSink): Promise<void> {
  try {
    for (;;) {
      const bytes = await source.read();
      if (bytes === undefined) break;
      await sink.write(bytes);
    }
    sink.end();
  } finally {
    source.cancel();
  }
}

/**
 * A source that is filled by events. Waiting pieces are joined, so that a reader may get several at once. The writer
 * must pause its own source by `size`, or disconnect the reader, well before the queue's bound, beyond which `push`
 * throws.
 */
export class ByteQueue implements ByteSource {
  readonly #onTaken: (bytes: number) => void;
  readonly #blocks = new ByteBlocks('buffer bytes for a slow reader', pieceLimits.queueBytes);
  #end: { readonly error?: Error } | undefined;
  #cancelled = false;
  #waiting:
    | { readonly resolve: (bytes: Uint8Array | undefined) => void; readonly reject: (error: Error) => void }
    | undefined;

  /** `onTaken` is called with the number of bytes that have left the queue, read or dropped. */
  constructor(onTaken: (bytes: number) => void = () => undefined) {
    this.#onTaken = onTaken;
  }

  /** Bytes that wait. */
  get size(): number {
    return this.#blocks.size;
  }

  /** True after `end` or `fail`. */
  get ended(): boolean {
    return this.#end !== undefined;
  }

  push(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    if (this.#cancelled || this.#end !== undefined) {
      this.#onTaken(bytes.length);
      return;
    }
    const waiting = this.#waiting;
    if (waiting === undefined) {
      this.#blocks.append(bytes);
      return;
    }
    this.#waiting = undefined;
    waiting.resolve(bytes);
    this.#onTaken(bytes.length);
  }

  /** Ends the stream; waiting bytes can still be read. */
  end(): void {
    this.#finish({});
  }

  /** Ends the stream with an error, which the reader gets after the waiting bytes. */
  fail(error: Error): void {
    this.#finish({ error });
  }

  #finish(end: { readonly error?: Error }): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting === undefined) return;
    if (end.error === undefined) waiting.resolve(undefined);
    else waiting.reject(end.error);
  }

  read(): Promise<Uint8Array | undefined> {
    const bytes = this.#blocks.shift();
    if (bytes !== undefined) {
      this.#onTaken(bytes.length);
      return Promise.resolve(bytes);
    }
    if (this.#cancelled) return Promise.resolve(undefined);
    if (this.#end !== undefined)
      return this.#end.error === undefined ? Promise.resolve(undefined) : Promise.reject(this.#end.error);
    if (this.#waiting !== undefined) fail('bug', 'read a byte queue: another read is under way');
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }

  cancel(): void {
    if (this.#cancelled) return;
    this.#cancelled = true;
    const dropped = this.#blocks.size;
    this.#blocks.clear();
    if (dropped > 0) this.#onTaken(dropped);
    this.#waiting?.resolve(undefined);
    this.#waiting = undefined;
  }
}
