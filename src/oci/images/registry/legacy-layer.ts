/**
 * Finds out the size and diff-id of a layer, which a schema 1 manifest does not state. The layer is downloaded and
 * hashed without being stored, and downloaded again to be unpacked. Such images are old and small, and this way
 * everything after the manifest, including verification, works as for other images.
 */
import { createHash } from 'node:crypto';
import { createGunzip } from 'node:zlib';
import type { Gunzip } from 'node:zlib';
import { once } from 'node:events';
import { fail } from '../../../base/fault.ts';
import { parseDigest, type Digest } from '../../../base/ids.ts';
import { imageLimits, unpackLimits } from '../../bounds.ts';
import type { Descriptor } from '../model/manifest.ts';
import { unavailable } from './registry-fault.ts';
import type { RegistrySession } from './session.ts';
import { TransportError } from './transport-error.ts';

export interface MeasuredLayer extends Descriptor {
  readonly diffId: Digest;
  /** Bytes of the uncompressed tar. */
  readonly tarBytes: number;
}

/** Schema 1 has no media types for layers; these are Docker's. */
const GZIP_LAYER = 'application/vnd.docker.image.rootfs.diff.tar.gzip';
const PLAIN_LAYER = 'application/vnd.docker.image.rootfs.diff.tar';
const GZIP_MAGIC = Buffer.of(0x1f, 0x8b);

/**
 * @param mostBytes limit for the uncompressed bytes
 * @throws FaultError that names the layer: `outside` for a wrong digest or content that cannot be decompressed
 */
export async function measureLayer(
  session: RegistrySession,
  blob: Digest,
  mostBytes: number,
  signal: AbortSignal,
  pull: string,
): Promise<MeasuredLayer> {
  const attempted = `${pull}: layer ${blob}`;
  try {
    return await session.ask({ path: `blobs/${blob}`, headers: {}, signal, attempted }, async (response) => {
      if (response.status !== 200) await session.refuse(response, attempted);
      try {
        return await measure(
          response.body.pieces(),
          blob,
          new Inner(attempted, mostBytes),
          `${attempted}: ${response.host}`,
        );
      } catch (error) {
        response.body.discard();
        throw error;
      }
    });
  } catch (error) {
    if (error instanceof TransportError) unavailable(attempted, error.message);
    throw error;
  }
}

async function measure(
  pieces: AsyncIterable<Uint8Array>,
  blob: Digest,
  inner: Inner,
  attempted: string,
): Promise<MeasuredLayer> {
  const whole = createHash('sha256');
  let size = 0;
  try {
    for await (const piece of pieces) {
      size += piece.byteLength;
      if (size > imageLimits.layerBytes)
        fail('exhausted', `${attempted}: more than ${imageLimits.layerBytes} bytes`, { retryable: false });
      whole.update(piece);
      await inner.write(piece);
    }
    const digest = `sha256:${whole.digest('hex')}`;
    if (digest !== blob) fail('outside', `${attempted} sent content with the digest ${digest}`);
    const diffId = await inner.end();
    return {
      mediaType: inner.isGzip ? GZIP_LAYER : PLAIN_LAYER,
      digest: blob,
      size,
      diffId,
      tarBytes: inner.bytes,
    };
  } finally {
    inner.destroy();
  }
}

/** Computes the diff-id of a layer, compressed or not. */
class Inner {
  readonly #attempted: string;
  readonly #hash = createHash('sha256');
  #head: Buffer | undefined = Buffer.alloc(0);
  #gunzip: Gunzip | undefined;
  #failure: Error | undefined;
  #bytes = 0;

  readonly #mostBytes: number;

  constructor(attempted: string, mostBytes: number) {
    this.#attempted = attempted;
    this.#mostBytes = mostBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get isGzip(): boolean {
    return this.#gunzip !== undefined;
  }

  async write(piece: Uint8Array): Promise<void> {
    if (this.#head === undefined) return this.#feed(piece);
    const head = Buffer.concat([this.#head, piece]);
    this.#head = head;
    return head.length < GZIP_MAGIC.length ? undefined : this.#start(head);
  }

  async end(): Promise<Digest> {
    if (this.#head !== undefined) await this.#start(this.#head);
    const gunzip = this.#gunzip;
    if (gunzip !== undefined && this.#failure === undefined && !gunzip.readableEnded) {
      gunzip.end();
      await once(gunzip, 'end').catch((error: unknown) => this.#fail(error));
    }
    this.#check();
    return (
      parseDigest(`sha256:${this.#hash.digest('hex')}`) ??
      fail('bug', 'a computed sha256 does not parse as a digest')
    );
  }

  destroy(): void {
    this.#gunzip?.destroy();
  }

  async #start(head: Buffer): Promise<void> {
    this.#head = undefined;
    if (head.subarray(0, GZIP_MAGIC.length).equals(GZIP_MAGIC)) {
      const gunzip = createGunzip({ chunkSize: unpackLimits.inflateChunkBytes });
      gunzip.on('data', (bytes: Buffer) => this.#take(bytes));
      gunzip.on('error', (error) => this.#fail(error));
      this.#gunzip = gunzip;
    }
    await this.#feed(head);
  }

  async #feed(bytes: Uint8Array): Promise<void> {
    this.#check();
    const gunzip = this.#gunzip;
    if (gunzip === undefined) this.#take(bytes);
    else if (!gunzip.write(bytes)) await once(gunzip, 'drain').catch((error: unknown) => this.#fail(error));
    this.#check();
  }

  #take(bytes: Uint8Array): void {
    this.#bytes += bytes.byteLength;
    this.#hash.update(bytes);
  }

  #fail(error: unknown): void {
    this.#failure ??= error instanceof Error ? error : new Error(String(error));
  }

  #check(): void {
    if (this.#bytes > this.#mostBytes)
      fail(
        'exhausted',
        `${this.#attempted}: the layers of a manifest of schema 1 unpack to more than ${imageLimits.legacyBytes} bytes`,
        { retryable: false },
      );
    if (this.#failure !== undefined)
      fail('outside', `${this.#attempted}: decompress: ${this.#failure.message}`);
  }
}
