/** Header blocks of SPDY: names and values with their lengths, compressed in one zlib stream per direction. */
import { constants, createDeflate, createInflate } from 'node:zlib';
import type { Deflate, Inflate } from 'node:zlib';
import { ByteBlocks } from '../../base/byte-blocks.ts';
import { fail } from '../../base/fault.ts';
import { streamLimits } from '../bounds.ts';
import { SPDY_DICTIONARY } from './spdy-dictionary.ts';

/** Names in small letters. */
export type SpdyHeaders = ReadonlyMap<string, string>;

/** Names and values of an inflated block. Throws `invalidRequest` for one that is not whole. */
export function parseHeaders(block: Buffer): SpdyHeaders {
  const headers = new Map<string, string>();
  let at = 0;
  const word = (): number => {
    if (at + 4 > block.length) broken('it ends too early');
    at += 4;
    return block.readUInt32BE(at - 4);
  };
  const text = (): string => {
    const length = word();
    if (length > block.length - at) broken('a text is longer than the block');
    at += length;
    return block.toString('utf8', at - length, at);
  };
  const count = word();
  if (count > streamLimits.spdyHeaderNames)
    broken(`${count} names, more than ${streamLimits.spdyHeaderNames}`);
  for (let index = 0; index < count; index += 1) {
    const name = text().toLowerCase();
    if (name === '' || headers.has(name)) broken('a name is empty or there twice');
    headers.set(name, text());
  }
  if (at !== block.length) broken('bytes follow its end');
  return headers;
}

function broken(reason: string): never {
  return fail('invalidRequest', `read a SPDY header block: ${reason}`);
}

/** A block before it is compressed. */
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

/** One direction's compression. Blocks go through in order, one at a time. */
class Codec {
  readonly #zlib: Deflate | Inflate;
  readonly #out: ByteBlocks;
  #fail: ((error: Error) => void) | undefined;

  constructor(zlib: Deflate | Inflate, bytesMax: number) {
    this.#zlib = zlib;
    this.#out = new ByteBlocks('read a SPDY header block', bytesMax);
    zlib.on('data', (bytes: Buffer) => {
      // a bomb: the session ends
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

/** Both directions of one session. */
export class HeaderCodec {
  readonly #inflate = new Codec(
    createInflate({ dictionary: SPDY_DICTIONARY, flush: constants.Z_SYNC_FLUSH }),
    streamLimits.spdyHeaderBytes,
  );
  // a small window: the dictionary fits in, and a session has some ten blocks
  readonly #deflate = new Codec(
    createDeflate({
      dictionary: SPDY_DICTIONARY,
      flush: constants.Z_SYNC_FLUSH,
      windowBits: 11,
      memLevel: 1,
    }),
    streamLimits.spdyHeaderBytes,
  );

  /** Rejects with `invalidRequest`; the session's compression is lost then. */
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
