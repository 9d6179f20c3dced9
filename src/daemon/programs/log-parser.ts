/**
 * The CRI's log format: `<time> <stdout or stderr> <tags> <content>`. The first tag is P for an entry whose line goes
 * on in the stream's next entry, or F for the last one of a line. Pure.
 */

/** Bytes of time, stream and tags: 35 of the time, 6 of the stream, and some tags. */
const HEAD_BYTES = 128;
const NEWLINE = 0x0a;

export interface LogPiece {
  readonly stream: 'stdout' | 'stderr';
  /** As the log has it; empty for bytes that are not in the format. */
  readonly time: string;
  /** A part of the entry's content: entries are passed on in pieces as they are read. */
  readonly bytes: Uint8Array;
  /** Ends an entry that ends its line: the newline is not in `bytes`. */
  readonly endsLine: boolean;
}

interface Head {
  readonly stream: LogPiece['stream'];
  readonly time: string;
  readonly isPartial: boolean;
}

const HEAD = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S*) (stdout|stderr) (P|F)(?::\S*)? /u;

/** Parses a log, given in pieces of any size. */
export class LogParser {
  /** Bytes of an entry whose head is not complete. */
  #begun = Buffer.alloc(0);
  #head: Head | undefined;

  /** The pieces of entries in these bytes. */
  *push(chunk: Buffer): Generator<LogPiece> {
    let rest = this.#begun.length === 0 ? chunk : Buffer.concat([this.#begun, chunk]);
    this.#begun = Buffer.alloc(0);
    while (rest.length > 0) {
      if (this.#head === undefined) {
        const head = headOf(rest);
        if (head === undefined) {
          this.#begun = Buffer.from(rest);
          return;
        }
        this.#head = head.head;
        rest = rest.subarray(head.bytes);
      }
      const end = rest.indexOf(NEWLINE);
      const bytes = end < 0 ? rest : rest.subarray(0, end);
      yield* this.#piece(this.#head, bytes, end >= 0);
      rest = end < 0 ? rest.subarray(rest.length) : rest.subarray(end + 1);
    }
  }

  *#piece(head: Head, bytes: Buffer, isLast: boolean): Generator<LogPiece> {
    const { stream, time, isPartial } = head;
    const endsLine = isLast && !isPartial;
    if (bytes.length > 0 || endsLine) yield { stream, time, bytes, endsLine };
    if (isLast) this.#head = undefined;
  }
}

/** The head of an entry and its length; undefined while it is incomplete. Bytes in no format are stdout's. */
function headOf(bytes: Buffer): { readonly head: Head; readonly bytes: number } | undefined {
  const start = bytes.toString('latin1', 0, HEAD_BYTES);
  const [whole = '', time = '', stream = 'stdout', tag = 'F'] = HEAD.exec(start) ?? [];
  if (whole === '' && bytes.length < HEAD_BYTES && !start.includes('\n')) return undefined;
  return {
    head: { stream: stream === 'stderr' ? 'stderr' : 'stdout', time, isPartial: tag === 'P' },
    bytes: whole.length,
  };
}

/** Whether an entry, given from its beginning, ends its line. */
export function endsLine(entry: Buffer): boolean {
  return HEAD.exec(entry.toString('latin1', 0, HEAD_BYTES))?.[3] !== 'P';
}

const TIME = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/u;

/** Nanoseconds since the epoch of an RFC 3339 time; undefined for any other text. */
export function timeNs(text: string): bigint | undefined {
  const [whole, seconds = '', fraction = '', zone = ''] = TIME.exec(text) ?? [];
  const ms = whole === undefined ? Number.NaN : Date.parse(`${seconds}${zone}`);
  return Number.isNaN(ms) ? undefined : BigInt(ms) * 1_000_000n + BigInt(fraction.padEnd(9, '0'));
}
