/** A layer's blob as it comes, decompressed, hashed and read as tar; for worker threads, since the sink works synchronously. */
import { createHash } from 'node:crypto';
import type { Transform } from 'node:stream';
import { constants, createGunzip, createZstdDecompress } from 'node:zlib';
import { fail, fault, toFault, FaultError } from '../../base/fault.ts';
import { unpackLimits } from '../../base/limits.ts';
import { refuseTar } from './tar-header.ts';
import { TarReader } from './tar-reader.ts';
import type { TarSink } from './tar-reader.ts';
import { ZstdFrames } from './unpack-zstd.ts';

export interface StreamLimits {
  readonly entries: number;
  /** Of the tar. */
  readonly layerBytes: number;
}

export interface StreamResult {
  /** `sha256:…` of the tar. */
  readonly diffId: string;
  readonly tarBytes: number;
}

type Compression = 'none' | 'gzip' | 'zstd';

const GZIP_MAGIC = 0x1f8b;
const ZSTD_MAGIC = 0xfd2fb528;
const ZSTD_SKIPPABLE = 0x184d2a5;
const MAGIC_BYTES = 4;

export class LayerStream {
  readonly #limits: StreamLimits;
  readonly #hash = createHash('sha256');
  readonly #tar: TarReader;
  #bytes = 0;
  #head: Buffer | undefined = Buffer.alloc(0);
  #inflate: Transform | undefined;
  #frames: ZstdFrames | undefined;
  #error: Error | undefined;
  #settle: (() => void) | undefined;

  constructor(sink: TarSink, limits: StreamLimits) {
    this.#limits = limits;
    this.#tar = new TarReader(sink, limits.entries);
  }

  /** Settles when the bytes are read as tar. Rejects with a FaultError; the stream must then be destroyed. */
  async write(chunk: Uint8Array): Promise<void> {
    if (this.#head === undefined) return this.#feed(chunk);
    // the media type is the registry's word; the first bytes say what it is, and the diff-id whether it is right
    const head = Buffer.concat([this.#head, chunk]);
    if (head.length < MAGIC_BYTES) {
      this.#head = head;
      return undefined;
    }
    return this.#start(head);
  }

  /** The blob is over. */
  async end(): Promise<StreamResult> {
    if (this.#head !== undefined) await this.#start(this.#head);
    if (this.#frames !== undefined && !this.#frames.isBetween) refuseTar('the zstd stream is cut short');
    if (this.#inflate !== undefined) await this.#wait((inflate) => inflate.end());
    this.#tar.end();
    return { diffId: `sha256:${this.#hash.digest('hex')}`, tarBytes: this.#bytes };
  }

  /** Frees the decompressor; may be called at any time. */
  destroy(): void {
    this.#inflate?.destroy();
  }

  async #start(head: Buffer): Promise<void> {
    this.#head = undefined;
    const compression = compressionOf(head);
    if (compression === 'gzip') {
      this.#inflate = this.#listen(createGunzip({ chunkSize: unpackLimits.inflateChunkBytes }));
    } else if (compression === 'zstd') {
      this.#frames = new ZstdFrames();
      const params = { [constants.ZSTD_d_windowLogMax]: unpackLimits.zstdWindowLog };
      this.#inflate = this.#listen(createZstdDecompress({ chunkSize: unpackLimits.inflateChunkBytes, params }));
    }
    await this.#feed(head);
  }

  #listen(inflate: Transform): Transform {
    const settle = (): void => this.#settle?.();
    inflate.on('data', (bytes: Buffer) => {
      // a throw in here would end the thread
      if (this.#error !== undefined) return;
      try {
        this.#consume(bytes);
      } catch (error) {
        this.#error = error instanceof Error ? error : new FaultError(toFault(error));
        inflate.destroy();
      }
    });
    inflate.on('error', (error) => {
      // zlib's errors (Z_DATA_ERROR, ZSTD_error_…) say something about the blob, not about this machine
      this.#error ??= new FaultError(fault('outside', `decompress: ${error.message}`));
      settle();
    });
    inflate.on('end', settle);
    inflate.on('close', settle);
    return inflate;
  }

  async #feed(bytes: Uint8Array): Promise<void> {
    if (this.#inflate === undefined) {
      this.#consume(bytes);
      return;
    }
    for (const run of this.#frames?.split(bytes) ?? [bytes]) {
      await this.#wait((inflate, done) => inflate.write(run, done));
    }
  }

  /** Runs one step of the decompressor to its end, or to the first error of it or of the sink. */
  #wait(step: (inflate: Transform, done: () => void) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#settle = () => {
        this.#settle = undefined;
        if (this.#error === undefined) resolve();
        else reject(this.#error);
      };
      const inflate = this.#inflate;
      if (this.#error !== undefined || inflate === undefined) this.#settle();
      else step(inflate, () => this.#settle?.());
    });
  }

  #consume(bytes: Uint8Array): void {
    this.#bytes += bytes.length;
    if (this.#bytes > this.#limits.layerBytes) {
      fail('exhausted', `read tar: it has more than ${this.#limits.layerBytes} bytes`, { retryable: false });
    }
    this.#hash.update(bytes);
    this.#tar.push(bytes);
  }
}

function compressionOf(head: Buffer): Compression {
  if (head.length >= 2 && head.readUInt16BE(0) === GZIP_MAGIC) return 'gzip';
  if (head.length < MAGIC_BYTES) return 'none';
  const magic = head.readUInt32LE(0);
  return magic === ZSTD_MAGIC || magic >>> 4 === ZSTD_SKIPPABLE ? 'zstd' : 'none';
}
