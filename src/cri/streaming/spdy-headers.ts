/** Header blocks of SPDY: names and values, each after its length, compressed in one zlib stream per direction. */
import { constants, createDeflate, createInflate } from 'node:zlib';
import type { Deflate, Inflate } from 'node:zlib';
import { ByteBlocks } from '../../base/byte-blocks.ts';
import { fail } from '../../base/fault.ts';
import { streamLimits } from '../bounds.ts';
import { SPDY_DICTIONARY } from './spdy-dictionary.ts';

/** Header names are in lower case. */
export type SpdyHeaders = ReadonlyMap<string, string>;

/** Parses an inflated block. Throws `invalidRequest` for an invalid one. */
export function parseHeaders(block: Buffer): SpdyHeaders {
  const headers = new Map<string, string>();
  let at = 0;
  const word = (): number => {
    if (at + 4 > block.length) broken('truncated');
    at += 4;
    return block.readUInt32BE(at - 4);
  };
  const text = (): string => {
    const length = word();
    if (length > block.length - at) broken('a length exceeds the block');
    at += length;
    return block.toString('utf8', at - length, at);
  };
  const count = word();
  if (count > streamLimits.spdyHeaderNames)
    broken(`${count} names, more than ${streamLimits.spdyHeaderNames}`);
  for (let index = 0; index < count; index += 1) {
    const name = text().toLowerCase();
    if (name === '' || headers.has(name)) broken('an empty or duplicate name');
    headers.set(name, text());
  }
  if (at !== block.length) broken('trailing bytes');
  return headers;
}

function broken(reason: string): never {
  return fail('invalidRequest', `read a SPDY header block: ${reason}`);
}

/** Encodes an uncompressed block. */
export function writeHeaders(headers: SpdyHeaders): Buffer {
  const parts: Buffer[] = [length(headers.size)];
  for (const pair of headers) {
    for (const text of pair) {
      const bytes = Buffer.from(text, 'utf8');
      parts.push(length(bytes.length), bytes);
    }
  }
  return Buffer.concat(parts);
}

function length(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** The compression of one direction. Blocks are processed in order, one at a time. */
class Codec {
  readonly #zlib: Deflate | Inflate;
  readonly #out: ByteBlocks;
  #fail: ((error: Error) => void) | undefined;

  constructor(zlib: Deflate | Inflate, bytesMax: number) {
    this.#zlib = zlib;
    this.#out = new ByteBlocks('read a SPDY header block', bytesMax);
    zlib.on('data', (bytes: Buffer) => {
      // a decompression bomb: the session ends
      if (bytes.length > this.#out.room) zlib.destroy(new Error(`more than ${bytesMax} bytes`));
      else this.#out.append(bytes);
    });
    zlib.on('error', (error) => this.#fail?.(error));
    zlib.on('close', () => this.#fail?.(new Error('the session has ended')));
  }

  run(block: Uint8Array): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      this.#fail = (error): void => {
        try {
          broken(error.message);
        } catch (thrown) {
          reject(thrown);
        }
      };
      if (this.#zlib.destroyed) return this.#fail(new Error('the session has ended'));
      this.#zlib.write(block, (error) => {
        if (error !== null && error !== undefined) return;
        this.#fail = undefined;
        resolve(Buffer.from(this.#out.takeAll()));
      });
    });
  }

  close(): void {
    this.#zlib.destroy();
  }
}

/** The header compression of one session, both directions. */
export class HeaderCodec {
  readonly #inflate = new Codec(
    createInflate({ dictionary: SPDY_DICTIONARY, flush: constants.Z_SYNC_FLUSH }),
    streamLimits.spdyHeaderBytes,
  );
  // a small window saves memory: the dictionary fits, and a session has about ten blocks
  readonly #deflate = new Codec(
    createDeflate({
      dictionary: SPDY_DICTIONARY,
      flush: constants.Z_SYNC_FLUSH,
      windowBits: 11,
      memLevel: 1,
    }),
    streamLimits.spdyHeaderBytes,
  );

  /** Inflates and parses a block. Rejects with `invalidRequest`; later blocks can't be decoded then. */
  async decode(block: Uint8Array): Promise<SpdyHeaders> {
    return parseHeaders(await this.#inflate.run(block));
  }

  encode(headers: SpdyHeaders): Promise<Buffer> {
    return this.#deflate.run(writeHeaders(headers));
  }

  close(): void {
    this.#inflate.close();
    this.#deflate.close();
  }
}
