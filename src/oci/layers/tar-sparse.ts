/**
 * Parses the maps of sparse files in GNU's four formats (GNU tar manual, "Storing Sparse Files"): old GNU headers, PAX
 * 0.0, 0.1 and 1.0. A map is checked before any byte of the file is written (S14).
 */
import { unpackLimits } from '../bounds.ts';
import { numberField, refuseTar } from './tar-header.ts';
import type { PaxRecord } from './tar-pax.ts';
import { paxNumber } from './tar-pax.ts';

/** A range of the file whose bytes are in the archive. The rest of the file is holes. */
export interface SparsePiece {
  readonly offset: number;
  readonly length: number;
}

/** Refuses a map whose pieces are out of order, overlap, exceed the file, or differ in sum from the stored bytes. */
export function checkSparse(pieces: readonly SparsePiece[], fileSize: number, storedBytes: number): void {
  let end = 0;
  let stored = 0;
  for (const piece of pieces) {
    if (piece.offset < end) refuseTar('a sparse map is out of order');
    end = piece.offset + piece.length;
    stored += piece.length;
    if (!Number.isSafeInteger(end) || end > fileSize) refuseTar('a sparse map reaches beyond its file');
  }
  if (stored !== storedBytes) refuseTar(`a sparse map has ${stored} bytes, the archive ${storedBytes}`);
}

/** Throws if one more piece would exceed the bound. */
function admitPiece(pieces: readonly SparsePiece[]): void {
  if (pieces.length >= unpackLimits.sparsePieces) {
    refuseTar(`a sparse map has more than ${unpackLimits.sparsePieces} pieces`);
  }
}

/** Old GNU format: pieces of 12 + 12 digits from `offset` on. Stops at the first empty one. */
export function oldPieces(block: Uint8Array, offset: number, count: number, into: SparsePiece[]): void {
  for (let index = 0; index < count; index += 1) {
    const at = offset + index * 24;
    if (block[at] === 0) return;
    admitPiece(into);
    into.push({
      offset: natural(numberField(block, at, 12, 'sparse offset')),
      length: natural(numberField(block, at + 12, 12, 'sparse length')),
    });
  }
}

function natural(value: number): number {
  if (value < 0) refuseTar('a sparse map has a negative number');
  return value;
}

/** PAX 0.0: alternating keys `offset` and `numbytes`. */
export function pieces00(records: readonly PaxRecord[]): SparsePiece[] {
  const pieces: SparsePiece[] = [];
  let offset: number | undefined;
  for (const record of records) {
    if (record.key === 'GNU.sparse.offset') {
      if (offset !== undefined) refuseTar('a sparse map has two offsets in a row');
      offset = paxNumber(record);
    } else if (record.key === 'GNU.sparse.numbytes') {
      if (offset === undefined) refuseTar('a sparse map has a length without an offset');
      admitPiece(pieces);
      pieces.push({ offset, length: paxNumber(record) });
      offset = undefined;
    }
  }
  if (offset !== undefined) refuseTar('a sparse map ends with an offset');
  return pieces;
}

/** PAX 0.1: `offset,length,offset,length,…`. */
export function pieces01(record: PaxRecord): SparsePiece[] {
  const pieces: SparsePiece[] = [];
  if (record.value.length === 0) return pieces;
  const numbers = record.value.toString('latin1').split(',');
  if (numbers.length % 2 !== 0) refuseTar('a sparse map has an odd count of numbers');
  for (let at = 0; at < numbers.length; at += 2) {
    admitPiece(pieces);
    pieces.push({ offset: decimal(numbers[at] ?? ''), length: decimal(numbers[at + 1] ?? '') });
  }
  return pieces;
}

function decimal(text: string): number {
  const value = /^[0-9]{1,16}$/u.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value)) refuseTar('a sparse map has a value that is not a number');
  return value;
}

/** PAX 1.0: before the data, the count and the map as decimal lines, padded to whole blocks. */
export class SparseLines {
  readonly pieces: SparsePiece[] = [];
  #count: number | undefined;
  #offset: number | undefined;
  #line = '';

  /** Reads one block and returns whether the map is complete. The rest of that block is padding. */
  push(block: Uint8Array): boolean {
    for (const byte of block) {
      if (byte !== 0x0a) {
        this.#line += String.fromCharCode(byte);
        if (this.#line.length > 16) refuseTar('a sparse map has a line that is too long');
        continue;
      }
      this.#number(decimal(this.#line));
      this.#line = '';
      if (this.#count === this.pieces.length) return true;
    }
    return false;
  }

  #number(value: number): void {
    if (this.#count === undefined) {
      if (value > unpackLimits.sparsePieces)
        refuseTar(`a sparse map has more than ${unpackLimits.sparsePieces} pieces`);
      this.#count = value;
    } else if (this.#offset === undefined) {
      this.#offset = value;
    } else {
      this.pieces.push({ offset: this.#offset, length: value });
      this.#offset = undefined;
    }
  }
}
