/**
 * The bytes of a journal file.
 *
 *   header  8 bytes `TROUPEJ\n`, 4 bytes format (little endian), 4 bytes CRC-32C of these 12
 *   record  4 bytes length of the body, 4 bytes CRC-32C of length and body, the body: JSON of base/codec.ts
 *
 * The checksum covers the length too, so that a flipped length is found.
 */
import { decodePlain, encodePlain } from '../base/codec.ts';
import { fail } from '../base/fault.ts';
import { journalLimits } from './bounds.ts';
import type { JournalRecord } from '../ports/journal.ts';
import { crc32c } from './crc32c.ts';
import { isRecordType } from './record-types.ts';
import { storedVersions } from '../base/stored-versions.ts';

/**
 * The version of all that troupe stores below root and state, since a start reads it first and an older program goes
 * no further. Raise it when an older troupe could not read what this one writes, here or in any other file of
 * docs/versions.md that is not simply made anew.
 */
export const FORMAT = storedVersions.journal;

/** What an operator can do when a newer version wrote the journal. */
const GO_ON = 'start that version again, or see "Roll back" in docs/upgrade.md';

const MAGIC = new TextEncoder().encode('TROUPEJ\n');
export const HEADER_BYTES = 16;
export const FRAME_BYTES = 8;

/** The first bytes of every journal file. */
export function header(): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES);
  const view = new DataView(bytes.buffer);
  bytes.set(MAGIC);
  view.setUint32(8, FORMAT, true);
  view.setUint32(12, crc32c(bytes.subarray(0, 12)), true);
  return bytes;
}

/** Encodes one record for the file. Throws `exhausted` above the bound of a record. */
export function frame(record: JournalRecord): Uint8Array {
  const body = new TextEncoder().encode(encodePlain(record));
  if (body.length > journalLimits.recordBytes) {
    fail(
      'exhausted',
      `journal record ${record.type}: ${body.length} bytes are more than ${journalLimits.recordBytes}`,
    );
  }
  const bytes = new Uint8Array(FRAME_BYTES + body.length);
  bytes.set(body, FRAME_BYTES);
  seal(bytes);
  return bytes;
}

/** Fills in length and checksum for the body that is already in `framed`. */
export function seal(framed: Uint8Array): void {
  const view = new DataView(framed.buffer, framed.byteOffset, framed.byteLength);
  view.setUint32(0, framed.length - FRAME_BYTES, true);
  view.setUint32(4, checksum(framed), true);
}

function checksum(framed: Uint8Array): number {
  return crc32c(framed.subarray(FRAME_BYTES), crc32c(framed.subarray(0, 4)));
}

export interface ParsedFile {
  readonly records: readonly JournalRecord[];
  /** Format of the file; the current one where it has no whole header. */
  readonly format: number;
  /** Bytes up to the end of the last whole record. */
  readonly validBytes: number;
  /**
   * How the file ends. `torn`: the last write was cut off and nothing follows it. `damaged`: the header or a
   * record is wrong and is not just the cut end of the file.
   */
  readonly end: 'whole' | 'torn' | 'damaged';
}

/**
 * Reads the longest valid prefix. Throws `unsupported` when a newer troupe wrote the file, by its format or by the type
 * of a record: then nothing may be changed (F30, F93). A record that was passed over would be missing in the next
 * snapshot.
 */
export function parse(bytes: Uint8Array): ParsedFile {
  if (bytes.length < HEADER_BYTES) return { records: [], format: FORMAT, validBytes: 0, end: 'torn' };
  const format = formatOf(bytes);
  if (format === undefined) return { records: [], format: FORMAT, validBytes: 0, end: 'damaged' };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (format > FORMAT) {
    fail(
      'unsupported',
      `read the journal: written in format ${format} by a newer troupe, this one reads up to ${FORMAT}; ${GO_ON}`,
    );
  }
  const records: JournalRecord[] = [];
  let at = HEADER_BYTES;
  while (at < bytes.length) {
    const length = at + FRAME_BYTES <= bytes.length ? view.getUint32(at, true) : 0;
    const next = at + FRAME_BYTES + length;
    const record =
      next <= bytes.length && at + FRAME_BYTES <= bytes.length
        ? recordOf(bytes.subarray(at, next))
        : undefined;
    if (record === undefined) {
      const torn = next >= bytes.length && !holdsRecord(bytes, at + 1);
      return { records, format, validBytes: at, end: torn ? 'torn' : 'damaged' };
    }
    if (!isRecordType(record.type)) {
      fail('unsupported', `read the journal: record type ${shownType(record)} of a newer troupe; ${GO_ON}`);
    }
    records.push(record);
    at = next;
  }
  return { records, format, validBytes: at, end: 'whole' };
}

/** The type as a message may have it: the bytes passed the checksum, and may be anybody's. */
function shownType({ type }: { readonly type: string }): string {
  return JSON.stringify(type.slice(0, journalLimits.shownTypeChars));
}

/** The format in the journal's header that the bytes begin with; undefined where they begin with none. */
export function formatOf(bytes: Uint8Array): number | undefined {
  if (!hasHeader(bytes)) return undefined;
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(8, true);
}

/** Whether the bytes begin with a journal's header, of any format. */
export function hasHeader(bytes: Uint8Array): boolean {
  if (bytes.length < HEADER_BYTES) return false;
  const stated = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(12, true);
  return MAGIC.every((byte, at) => bytes[at] === byte) && stated === crc32c(bytes.subarray(0, 12));
}

const [OPENING, CLOSING, SPACE] = new TextEncoder().encode('{} ');

/** Bytes that a search for records may still checksum: each byte of garbage could begin a long record. */
export interface SearchBudget {
  bytes: number;
}

/**
 * The budget of one search: a multiple of the file's size, which takes seconds at most whatever the file
 * holds.
 */
export function searchBudget(bytes: Uint8Array): SearchBudget {
  return { bytes: bytes.length * journalLimits.searchTimes };
}

/**
 * The whole record that begins at `at`, and where it ends; undefined when none begins there or the budget is
 * used up.
 */
export function recordAt(
  bytes: Uint8Array,
  at: number,
  budget?: SearchBudget,
): { readonly record: JournalRecord; readonly next: number } | undefined {
  if (at + FRAME_BYTES > bytes.length) return undefined;
  // called for each byte of a damaged file, so it allocates nothing before the length is plausible
  const length =
    ((bytes[at] ?? 0) |
      ((bytes[at + 1] ?? 0) << 8) |
      ((bytes[at + 2] ?? 0) << 16) |
      ((bytes[at + 3] ?? 0) << 24)) >>>
    0;
  const next = at + FRAME_BYTES + length;
  if (length === 0 || length > journalLimits.recordBytes || next > bytes.length) return undefined;
  // a record is a JSON object, followed by spaces where a secret was masked: other garbage needs no checksum
  if (bytes[at + FRAME_BYTES] !== OPENING || (bytes[next - 1] !== CLOSING && bytes[next - 1] !== SPACE))
    return undefined;
  if (budget !== undefined && (budget.bytes -= next - at) < 0) return undefined;
  const record = recordOf(bytes.subarray(at, next));
  return record === undefined ? undefined : { record, next };
}

/**
 * A wrong length may point beyond the end of the file and resemble a torn write; when whole records follow,
 * it is damage. The search is cheap, since four bytes of JSON read as a length exceed every file.
 */
function holdsRecord(bytes: Uint8Array, from: number): boolean {
  const budget = searchBudget(bytes);
  for (let at = from; at + FRAME_BYTES <= bytes.length; at += 1)
    if (recordAt(bytes, at, budget) !== undefined) return true;
  // the budget ended the search: there may be whole records, so the file is kept as damaged rather than cut
  // as torn
  return budget.bytes < 0;
}

function recordOf(framed: Uint8Array): JournalRecord | undefined {
  const view = new DataView(framed.buffer, framed.byteOffset, framed.byteLength);
  if (view.getUint32(4, true) !== checksum(framed)) return undefined;
  try {
    const value = decodePlain(
      new TextDecoder('utf-8', { fatal: true }).decode(framed.subarray(FRAME_BYTES)),
    ) as JournalRecord | null;
    return typeof value?.type === 'string' ? value : undefined;
  } catch {
    return undefined;
  }
}
