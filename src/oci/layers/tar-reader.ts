/** Reads a tar archive from pieces of any size, synchronously. Bounds are checked before anything is buffered. */
import { fail } from '../../base/fault.ts';
import { unpackLimits } from '../bounds.ts';
import type { RawHeader } from './tar-header.ts';
import type { ByteString } from '../../base/byte-string.ts';
import { TAR_BLOCK, isZeroBlock, numberField, parseHeader, refuseTar, textField } from './tar-header.ts';
import { describeEntry } from './tar-entry.ts';
import type { Described, EntryMeta, TarEntry } from './tar-entry.ts';
import { parsePax } from './tar-pax.ts';
import type { SparsePiece } from './tar-sparse.ts';
import { SparseLines, checkSparse, oldPieces } from './tar-sparse.ts';

/** Receives the entries in the archive's order. Calls per entry: `begin`, any number of `data`, `finish`. */
export interface TarSink {
  begin(entry: TarEntry): void;
  /** Bytes of the file at `position`, valid only during the call. Holes of sparse files are skipped. */
  data(bytes: Uint8Array, position: number): void;
  finish(): void;
}

/**
 * What the next bytes are: one whole block or header to collect, the body of a file, padding, or bytes after the end.
 */
type Mode = 'header' | 'meta' | 'oldSparse' | 'sparseMap' | 'body' | 'skip' | 'ended';

export class TarReader {
  readonly #sink: TarSink;
  readonly #maxEntries: number;
  #mode: Mode = 'header';
  #collected: Buffer = Buffer.allocUnsafe(TAR_BLOCK);
  #filled = 0;
  #wanted = TAR_BLOCK;
  #entries = 0;
  /** Pieces of all sparse files so far. */
  #pieceSum = 0;
  #left = 0;
  #padding = 0;
  #metaFlag = '';
  #meta: EntryMeta = { pax: [], longName: undefined, longLink: undefined };
  #raw: RawHeader | undefined;
  #oldPieces: SparsePiece[] = [];
  #realSize = 0;
  #described: Described | undefined;
  #lines: SparseLines | undefined;
  #pieces: readonly SparsePiece[] | undefined;
  #piece = 0;
  #position = 0;

  constructor(sink: TarSink, maxEntries: number = unpackLimits.entries) {
    this.#sink = sink;
    this.#maxEntries = maxEntries;
  }

  /** Reads the next bytes of the archive. Throws a FaultError if they are not valid. */
  push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#mode === 'ended') return;
      if (this.#mode === 'body') at = this.#body(chunk, at);
      else if (this.#mode === 'skip') at = this.#skip(chunk, at);
      else at = this.#collect(chunk, at);
    }
  }

  /** Ends the archive. Throws if that is in the middle of an entry. */
  end(): void {
    // the two zero blocks at the end may be missing: the diff-id proves that the archive is complete
    const between = this.#mode === 'header' && this.#filled === 0 && this.#isClean();
    if (
      this.#mode !== 'ended' &&
      !between &&
      !(this.#mode === 'skip' && this.#described === undefined && this.#isClean())
    ) {
      refuseTar('the archive is cut short');
    }
  }

  #isClean(): boolean {
    return (
      this.#meta.pax.length === 0 && this.#meta.longName === undefined && this.#meta.longLink === undefined
    );
  }

  #collect(chunk: Uint8Array, at: number): number {
    const take = Math.min(this.#wanted - this.#filled, chunk.length - at);
    this.#collected.set(chunk.subarray(at, at + take), this.#filled);
    this.#filled += take;
    if (this.#filled === this.#wanted) {
      this.#filled = 0;
      this.#whole(this.#collected.subarray(0, this.#wanted));
    }
    return at + take;
  }

  #whole(block: Buffer): void {
    switch (this.#mode) {
      case 'header':
        this.#header(block);
        break;
      case 'meta':
        this.#metaBody(block);
        break;
      case 'oldSparse':
        oldPieces(block, 0, 21, this.#oldPieces);
        if (block[504] === 0) this.#open();
        break;
      case 'sparseMap':
        this.#sparseBlock(block);
        break;
      default:
        break;
    }
  }

  #header(block: Buffer): void {
    if (isZeroBlock(block)) {
      if (!this.#isClean()) refuseTar('the archive ends after an extension header');
      // one zero block is enough, as in GNU tar and Go; bytes after it are ignored, but they count in the diff-id
      this.#mode = 'ended';
      return;
    }
    this.#entries += 1;
    if (this.#entries > this.#maxEntries) {
      fail('exhausted', `read tar: the archive has more than ${this.#maxEntries} entries`, {
        retryable: false,
      });
    }
    const raw = parseHeader(block);
    // a global header ('g', written by git archive) does not affect files; the peers skip it, too
    if (raw.flag === 'x' || raw.flag === 'g' || raw.flag === 'L' || raw.flag === 'K') {
      this.#startMeta(raw);
      return;
    }
    this.#raw = raw;
    this.#oldPieces = [];
    this.#realSize = -1;
    if (raw.flag === 'S') {
      this.#realSize = numberField(block, 483, 12, 'real size');
      oldPieces(block, 386, 4, this.#oldPieces);
      if (block[482] !== 0) {
        this.#mode = 'oldSparse';
        return;
      }
    }
    this.#open();
  }

  #startMeta(raw: RawHeader): void {
    if (raw.size < 0 || raw.size > unpackLimits.metaBytes) {
      refuseTar(
        `a header of type ${JSON.stringify(raw.flag)} has ${raw.size} bytes, more than ${unpackLimits.metaBytes}`,
      );
    }
    this.#metaFlag = raw.flag;
    this.#padding = paddingOf(raw.size);
    this.#left = raw.size;
    if (raw.size === 0) {
      this.#metaBody(Buffer.alloc(0));
      return;
    }
    this.#want(raw.size, 'meta');
  }

  #want(bytes: number, mode: Mode): void {
    if (this.#collected.length < bytes) this.#collected = Buffer.allocUnsafe(bytes);
    this.#wanted = bytes;
    this.#mode = mode;
  }

  #metaBody(body: Buffer): void {
    const text = (): ByteString => textField(body, 0, body.length);
    if (this.#metaFlag === 'x') this.#meta.pax = parsePax(Buffer.from(body));
    else if (this.#metaFlag === 'L') this.#meta.longName = text();
    else if (this.#metaFlag === 'K') this.#meta.longLink = text();
    // do not keep the large buffer of a long header for the rest of the archive
    this.#collected = Buffer.allocUnsafe(TAR_BLOCK);
    this.#next(this.#padding);
  }

  /** Starts an entry: all its headers are read. */
  #open(): void {
    const raw = this.#raw;
    if (raw === undefined) return;
    const oldMap = raw.flag === 'S' ? { pieces: this.#oldPieces, realSize: this.#realSize } : undefined;
    const described = describeEntry(raw, this.#meta, oldMap);
    this.#meta = { pax: [], longName: undefined, longLink: undefined };
    this.#raw = undefined;
    this.#left = described.storedBytes;
    this.#padding = paddingOf(described.storedBytes);
    if (described.mapInData) {
      this.#described = described;
      this.#lines = new SparseLines();
      if (this.#left < TAR_BLOCK) refuseTar('a sparse map is cut short');
      this.#want(TAR_BLOCK, 'sparseMap');
      return;
    }
    this.#begin(described, described.pieces);
  }

  #sparseBlock(block: Buffer): void {
    const lines = this.#lines;
    const described = this.#described;
    if (lines === undefined || described === undefined) return;
    this.#left -= TAR_BLOCK;
    if (lines.push(block)) this.#begin(described, lines.pieces);
    else if (this.#left < TAR_BLOCK) refuseTar('a sparse map is cut short');
  }

  #begin(described: Described, pieces: readonly SparsePiece[] | undefined): void {
    if (pieces !== undefined) {
      checkSparse(pieces, described.entry.size, this.#left);
      this.#pieceSum += pieces.length;
      if (this.#pieceSum > unpackLimits.layerSparsePieces) {
        fail(
          'exhausted',
          `read tar: the sparse files have more than ${unpackLimits.layerSparsePieces} pieces`,
          { retryable: false },
        );
      }
    }
    this.#described = described;
    this.#pieces = pieces;
    this.#piece = 0;
    this.#position = 0;
    this.#sink.begin(described.entry);
    if (this.#left === 0) this.#finish();
    else this.#mode = 'body';
  }

  #body(chunk: Uint8Array, at: number): number {
    let take = Math.min(this.#left, chunk.length - at);
    let position = this.#position;
    if (this.#pieces !== undefined) {
      let piece = this.#pieces[this.#piece];
      while (piece !== undefined && this.#position === piece.length) {
        this.#piece += 1;
        this.#position = 0;
        piece = this.#pieces[this.#piece];
      }
      if (piece === undefined) refuseTar('a sparse map ends before its bytes');
      take = Math.min(take, piece.length - this.#position);
      position = piece.offset + this.#position;
    }
    this.#sink.data(chunk.subarray(at, at + take), position);
    this.#position += take;
    this.#left -= take;
    if (this.#left === 0) this.#finish();
    return at + take;
  }

  #finish(): void {
    this.#described = undefined;
    this.#lines = undefined;
    this.#pieces = undefined;
    this.#sink.finish();
    this.#next(this.#padding);
  }

  #next(padding: number): void {
    this.#left = padding;
    if (padding > 0) this.#mode = 'skip';
    else this.#want(TAR_BLOCK, 'header');
  }

  #skip(chunk: Uint8Array, at: number): number {
    const take = Math.min(this.#left, chunk.length - at);
    this.#left -= take;
    if (this.#left === 0) this.#want(TAR_BLOCK, 'header');
    return at + take;
  }
}

function paddingOf(bytes: number): number {
  return (TAR_BLOCK - (bytes % TAR_BLOCK)) % TAR_BLOCK;
}
