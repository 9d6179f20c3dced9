/** The same damage each time. */
import { Duplex } from 'node:stream';

/** Park and Miller's generator. */
export function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % below;
  };
}

export function pieces(bytes: Buffer, size: number): Buffer[] {
  const all: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += size) all.push(bytes.subarray(at, at + size));
  return all;
}

/** One end of a connection in memory: `sent` collects what the code under test wrote. */
export class Wire extends Duplex {
  readonly sent: Buffer[] = [];
  #held: (() => void) | undefined;
  isHolding = false;

  constructor() {
    super({ allowHalfOpen: true, highWaterMark: 1024 });
  }
  override _read(): void {
    // bytes are pushed by the test
  }
  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.sent.push(chunk);
    if (this.isHolding) this.#held = done;
    else done();
  }
  /** Takes what was written while it held. */
  release(): void {
    this.isHolding = false;
    this.#held?.();
    this.#held = undefined;
  }
  /** The bytes of a peer. */
  bring(...chunks: readonly Uint8Array[]): void {
    this.push(Buffer.concat(chunks));
  }
  get written(): Buffer {
    return Buffer.concat(this.sent);
  }
}
