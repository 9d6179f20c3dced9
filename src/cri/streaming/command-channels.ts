/** A client of exec or attach, over SPDY or WebSocket. */
import type { ClockPort } from '../../ports/clock.ts';
import type { ClientStreams, TerminalSize } from '../../ports/streams.ts';
import { ByteBlocks } from '../../base/byte-blocks.ts';
import { streamLimits } from '../bounds.ts';
import { Pace } from '../../base/pace.ts';
import type { CommandEnd } from './command-status.ts';

/** The streams that a request wants. */
export interface WantedStreams {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tty: boolean;
}

export interface CommandChannels {
  readonly streams: ClientStreams;
  /** Reports the result to the client and closes; settles when the connection is closed. Repeatable. */
  finish(end: CommandEnd): Promise<void>;
}

/** The last byte of a JSON object. */
const CLOSING = 0x7d;

/**
 * Terminal sizes of a resize channel: a sequence of JSON objects, received in arbitrary pieces.
 *
 * The last size counts. One that came right before it is passed on first where the last may be the terminal's already:
 * `kubectl attach` sends a size one larger and then its own, since only a change has the program draw its screen again.
 */
export class Resizes {
  readonly #begun = new ByteBlocks("keep a terminal's size", streamLimits.resizeBytes);
  #last: TerminalSize | undefined;
  /** Another size that came before the last one, if the listener has had neither. */
  #before: TerminalSize | undefined;
  /** What the listener has had. */
  #passed: TerminalSize | undefined;
  #isNew = false;
  #listener: ((size: TerminalSize) => void | Promise<void>) | undefined;
  #isBusy = false;

  onResize(listener: (size: TerminalSize) => void | Promise<void>): void {
    this.#listener = listener;
    this.#isBusy = false;
    this.#passed = undefined;
    this.#isNew = true;
    this.#report();
  }

  /** Takes bytes of the channel. Only the last sizes that end in them are used, so only they are parsed. */
  push(bytes: Uint8Array): void {
    const isEnd = bytes.indexOf(CLOSING) >= 0;
    const end = isEnd ? bytes.lastIndexOf(CLOSING) + 1 : 0;
    if (isEnd) {
      this.#keep(bytes.subarray(0, end));
      this.#take(Buffer.from(this.#begun.takeAll()).toString('latin1'));
    }
    this.#keep(bytes.subarray(end));
  }

  #keep(part: Uint8Array): void {
    // a size object is never that long
    if (part.length > this.#begun.room) this.#begun.clear();
    this.#begun.appendCopy(part.subarray(-streamLimits.resizeBytes));
  }

  /** Takes the last two valid sizes of the text. Sizes of 0 or less are ignored, as by the peers. */
  #take(text: string): void {
    const found: TerminalSize[] = [];
    let before = text.length;
    for (let tries = 0; tries < streamLimits.resizeTries && before > 0 && found.length < 2; tries += 1) {
      const start = text.lastIndexOf('{', before - 1);
      if (start < 0) break;
      const size = parseSize(text.slice(start, text.indexOf('}', start) + 1));
      if (size !== undefined) found.unshift(size);
      before = start;
    }
    for (const size of found) this.#note(size);
    this.#report();
  }

  #note(size: TerminalSize): void {
    if (!isSame(this.#last, size)) this.#before = this.#last;
    this.#last = size;
    this.#isNew = true;
  }

  /** Passes sizes to the listener, one at a time. */
  #report(): void {
    while (!this.#isBusy && this.#isNew && this.#listener !== undefined && this.#last !== undefined) {
      const isKnown = this.#passed !== undefined && !isSame(this.#passed, this.#last);
      const size = (isKnown ? undefined : this.#before) ?? this.#last;
      this.#before = undefined;
      this.#isNew = size !== this.#last;
      this.#passed = size;
      const resized = this.#listener(size);
      if (resized === undefined) continue;
      this.#isBusy = true;
      const done = (): void => {
        this.#isBusy = false;
        this.#report();
      };
      resized.then(done, done);
    }
  }
}

function isSame(one: TerminalSize | undefined, other: TerminalSize): boolean {
  return one?.columns === other.columns && one.rows === other.rows;
}

type SizeListener = Parameters<ClientStreams['onResize']>[0];

/**
 * Limits the rate of resizes: the promise settles when the next size may follow. A resize costs system calls and a
 * signal (S89).
 */
export function pacedSizes(clock: ClockPort, listener: SizeListener): SizeListener {
  const pace = new Pace(streamLimits.resizing);
  return (size) => {
    const resized = listener(size);
    const waitMs = pace.take(clock.monoMs());
    if (waitMs === 0) return resized;
    const rest = new Promise<void>((resolve) => void clock.setTimeout(resolve, waitMs));
    return Promise.allSettled([resized, rest]).then(() => undefined);
  };
}

/**
 * Parses `{"Width":80,"Height":24}`; undefined for any other text. JSON.parse is not used: its exceptions are slow, and
 * a client that sends invalid JSON all the time would keep the daemon busy (S89).
 */
export function parseSize(text: string): TerminalSize | undefined {
  const [columns, rows] = [sideOf(WIDTH, text), sideOf(HEIGHT, text)];
  return columns === undefined || rows === undefined ? undefined : { columns, rows };
}

/** Without regard to case, as Go's decoder. */
const WIDTH = /"width"\s*:\s*([1-9]\d{0,4})\s*[,}]/iu;
const HEIGHT = /"height"\s*:\s*([1-9]\d{0,4})\s*[,}]/iu;

function sideOf(member: RegExp, text: string): number | undefined {
  const value = Number(member.exec(text)?.[1] ?? 0);
  return value > 0 && value <= 65_535 ? value : undefined;
}
