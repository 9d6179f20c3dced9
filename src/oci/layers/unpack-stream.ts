/**
 * Decompresses a layer's blob as it arrives, hashes it and reads it as tar. For worker threads: the sink is
 * synchronous.
 */
import { createHash } from 'node:crypto';
import type { Transform } from 'node:stream';
import type { Gunzip } from 'node:zlib';
import { constants, createGunzip, createZstdDecompress } from 'node:zlib';
import { fail, fault, toFault, FaultError } from '../../base/fault.ts';
import { unpackLimits } from '../bounds.ts';
import { refuseTar } from './tar-header.ts';
import { TarReader } from './tar-reader.ts';
import type { TarSink } from './tar-reader.ts';
import { ZstdFrames } from './unpack-zstd.ts';

export interface StreamLimits {
  readonly entries: number;
  /** Bytes of the uncompressed tar. */
  readonly layerBytes: number;
}

export interface StreamResult {
  /** `sha256:…` of the tar. */
  readonly diffId: string;
  readonly tarBytes: number;
}

type DetectedCompression = 'none' | 'gzip' | 'zstd';

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
  #gunzip: Gunzip | undefined;
  #blobBytes = 0;
  #frames: ZstdFrames | undefined;
  /** Unfinished writes to the decompressor. */
  #queued = 0;
  #isEnded = false;
  #error: Error | undefined;
  #wake: (() => void) | undefined;

  constructor(sink: TarSink, limits: StreamLimits) {
    this.#limits = limits;
    this.#tar = new TarReader(sink, limits.entries);
  }

  /**
   * Adds the next bytes. Resolves when it can accept more, while a bounded part may still be unread. Rejects with a
   * FaultError, possibly for earlier bytes; the stream must then be destroyed.
   */
  async write(chunk: Uint8Array): Promise<void> {
    if (this.#head === undefined) return this.#feed(chunk);
    // detect the compression by the first bytes: the media type may be wrong, and the diff-id verifies the result
    const head = Buffer.concat([this.#head, chunk]);
    if (head.length < MAGIC_BYTES) {
      this.#head = head;
      return undefined;
    }
    return this.#start(head);
  }

  /** Ends the blob. */
  async end(): Promise<StreamResult> {
    if (this.#head !== undefined) await this.#start(this.#head);
    if (this.#frames !== undefined && !this.#frames.isBetween) refuseTar('the zstd stream is cut short');
    if (this.#inflate !== undefined) {
      this.#inflate.end();
      await this.#until(() => this.#isEnded);
    }
    // Node ignores zeros after a gzip member, with all bytes after them, if they arrive in the same write, and fails if
    // they arrive in another: whether a blob is valid would depend on packet sizes. Go's reader, which the peers use,
    // refuses them.
    if (this.#gunzip !== undefined && this.#gunzip.bytesWritten !== this.#blobBytes)
      refuseTar('a gzip member is followed by bytes that are not one');
    this.#tar.end();
    return { diffId: `sha256:${this.#hash.digest('hex')}`, tarBytes: this.#bytes };
  }

  /** Frees the decompressor. May be called at any time. */
  destroy(): void {
    this.#inflate?.destroy();
  }

  async #start(head: Buffer): Promise<void> {
    this.#head = undefined;
    const compression = compressionOf(head);
    if (compression === 'gzip') {
      this.#gunzip = createGunzip({ chunkSize: unpackLimits.inflateChunkBytes });
      this.#inflate = this.#listen(this.#gunzip);
    } else if (compression === 'zstd') {
      this.#frames = new ZstdFrames();
      const params = { [constants.ZSTD_d_windowLogMax]: unpackLimits.zstdWindowLog };
      this.#inflate = this.#listen(
        createZstdDecompress({ chunkSize: unpackLimits.inflateChunkBytes, params }),
      );
    }
    await this.#feed(head);
  }

  #listen(inflate: Transform): Transform {
    inflate.on('readable', () => this.#drain(inflate));
    inflate.on('error', (error) => {
      // zlib's errors (Z_DATA_ERROR, ZSTD_error_…) are faults of the blob, not of this machine
      this.#error ??= new FaultError(fault('outside', `decompress: ${error.message}`));
      this.#wake?.();
    });
    const end = (): void => {
      this.#isEnded = true;
      this.#wake?.();
    };
    inflate.on('end', end);
    inflate.on('close', end);
    return inflate;
  }

  /**
   * Reads what is decompressed. Each read starts the next one: libuv's pool inflates while this thread writes files.
   */
  #drain(inflate: Transform): void {
    // an exception in this event handler would end the thread
    try {
      for (
        let piece = inflate.read() as Buffer | null;
        piece !== null && this.#error === undefined;
        piece = inflate.read() as Buffer | null
      ) {
        this.#consume(piece);
      }
    } catch (error) {
      this.#error = error instanceof Error ? error : new FaultError(toFault(error));
      inflate.destroy();
      this.#wake?.();
    }
  }

  async #feed(bytes: Uint8Array): Promise<void> {
    const inflate = this.#inflate;
    if (inflate === undefined) {
      this.#consume(bytes);
      return;
    }
    this.#blobBytes += bytes.length;
    for (const run of this.#frames?.split(bytes) ?? [bytes]) {
      this.#queued += 1;
      inflate.write(run, () => {
        this.#queued -= 1;
        this.#wake?.();
      });
      // keep one run waiting while another is inflated
      await this.#until(() => this.#queued < unpackLimits.inflateQueue || this.#isEnded);
    }
  }

  /** Rejects at the first error of the decompressor or of the sink. */
  async #until(isReached: () => boolean): Promise<void> {
    while (this.#error === undefined && !isReached()) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    this.#wake = undefined;
    if (this.#error !== undefined) throw this.#error;
  }

  #consume(bytes: Uint8Array): void {
    this.#bytes += bytes.length;
    if (this.#bytes > this.#limits.layerBytes) {
      fail('exhausted', `read tar: the tar has more than ${this.#limits.layerBytes} bytes`, {
        retryable: false,
      });
    }
    this.#hash.update(bytes);
    this.#tar.push(bytes);
  }
}

function compressionOf(head: Buffer): DetectedCompression {
  if (head.length >= 2 && head.readUInt16BE(0) === GZIP_MAGIC) return 'gzip';
  if (head.length < MAGIC_BYTES) return 'none';
  const magic = head.readUInt32LE(0);
  return magic === ZSTD_MAGIC || magic >>> 4 === ZSTD_SKIPPABLE ? 'zstd' : 'none';
}
