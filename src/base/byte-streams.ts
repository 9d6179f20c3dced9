/**
 * Bytes on their way, one direction at a time, with back-pressure: what streaming (a client's SPDY or WebSocket) and
 * the drivers (pipes, terminals, sockets) have in common. Nothing of Node: either side adapts what it has.
 */
import { ByteBlocks } from './byte-blocks.ts';
import { fail } from './fault.ts';
import { pieceLimits } from './bounds.ts';

/** Where bytes come from. */
export interface ByteSource {
  /** The next bytes, undefined after the last ones; rejects when the stream broke. One caller at a time. */
  read(): Promise<Uint8Array | undefined>;
  /** Nothing more is wanted: what still comes is dropped. Repeatable. */
  cancel(): void;
}

/** Where bytes go. */
export interface ByteSink {
  /** Resolves when more may be written, which is not when the bytes have arrived; rejects once nobody takes them. */
  write(bytes: Uint8Array): Promise<void>;
  /** No more will be written: a half-close. Repeatable; nothing to do once the other end has gone. */
  end(): void;
}

/** Copies until the source ends, then ends the sink. Rejects when either breaks; the source is cancelled then. */
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
 * A source that is filled by events. Pieces that wait are joined, so that a reader may get several at once. Whoever fills it
 * stops its own source by `size`, or gives the reader up, well before the bound of the queue, beyond which `push` throws.
 */
export class ByteQueue implements ByteSource {
  readonly #onTaken: (bytes: number) => void;
  readonly #blocks = new ByteBlocks('keep bytes for a slow reader', pieceLimits.queueBytes);
  #end: { readonly error?: Error } | undefined;
  #cancelled = false;
  #waiting:
    | { readonly resolve: (bytes: Uint8Array | undefined) => void; readonly reject: (error: Error) => void }
    | undefined;

  /** `onTaken` hears of bytes that have left the queue, read or dropped. */
  constructor(onTaken: (bytes: number) => void = () => undefined) {
    this.#onTaken = onTaken;
  }

  /** Bytes that wait. */
  get size(): number {
    return this.#blocks.size;
  }

  /** True when nothing can come any more. */
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

  /** The good end; what waits is still read. */
  end(): void {
    this.#finish({});
  }

  /** The bad end; what waits is still read, then the reader gets the error. */
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
    if (this.#waiting !== undefined) fail('bug', 'read a byte queue: somebody reads it already');
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
