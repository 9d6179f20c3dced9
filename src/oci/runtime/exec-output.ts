/** The output of an exec: the first bytes are kept, the rest is read and dropped, so that the process never blocks on us. */
import type { Socket } from 'node:net';

export class CappedOutput {
  /** Resolves when every holder of the pipe has closed it. */
  readonly ended: Promise<void>;
  readonly #stream: Socket | undefined;
  readonly #bytesMax: number;
  readonly #chunks: Uint8Array[] = [];
  #kept = 0;

  constructor(stream: Socket | undefined, bytesMax: number) {
    this.#stream = stream;
    this.#bytesMax = bytesMax;
    this.ended = new Promise((resolve) => {
      if (stream === undefined) {
        resolve();
        return;
      }
      stream.on('data', (chunk: Buffer) => this.#keep(chunk));
      // an error of a pipe is its end: `close` follows
      stream.on('error', () => undefined);
      stream.on('close', () => resolve());
    });
  }

  #keep(chunk: Buffer): void {
    const part = chunk.subarray(0, this.#bytesMax - this.#kept);
    if (part.length === 0) return;
    this.#chunks.push(part);
    this.#kept += part.length;
  }

  bytes(): Uint8Array {
    return Buffer.concat(this.#chunks);
  }

  close(): void {
    this.#stream?.destroy();
  }
}
