/** A client of exec or attach, whatever it speaks. */
import type { ClockPort } from '../../ports/clock.ts';
import type { ClientStreams, TerminalSize } from '../../ports/streams.ts';
import { ByteBlocks } from '../../base/byte-blocks.ts';
import { streamLimits } from '../bounds.ts';
import { Pace } from '../../base/pace.ts';
import type { CommandEnd } from './command-status.ts';

/** Which streams a request asked for. */
export interface WantedStreams {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tty: boolean;
}

export interface CommandChannels {
  readonly streams: ClientStreams;
  /** Tells the end and closes; settles when the connection is closed. Repeatable. */
  finish(end: CommandEnd): Promise<void>;
}

/** The last byte of a JSON object. */
const CLOSING = 0x7d;

/** Sizes of a terminal, from a row of JSON objects that may come in any pieces. */
export class Resizes {
  readonly #begun = new ByteBlocks("keep a terminal's size", streamLimits.resizeBytes);
  #last: TerminalSize | undefined;
  #listener: ((size: TerminalSize) => void | Promise<void>) | undefined;
  #isBusy = false;

  onResize(listener: (size: TerminalSize) => void | Promise<void>): void {
    this.#listener = listener;
    this.#isBusy = false;
    this.#report();
  }

  /** Of the sizes that end in these bytes only the last one counts, so the others are not even read. */
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
    // no object is that long: what has no end is no size
    if (part.length > this.#begun.room) this.#begun.clear();
    this.#begun.appendCopy(part.subarray(-streamLimits.resizeBytes));
  }

  /** Sizes of 0 and less mean nothing and are left out, as by the peers: then the one before counts. */
  #take(text: string): void {
    let before = text.length;
    for (let tries = 0; tries < streamLimits.resizeTries && before > 0; tries += 1) {
      const start = text.lastIndexOf('{', before - 1);
      if (start < 0) return;
      const size = parseSize(text.slice(start, text.indexOf('}', start) + 1));
      if (size !== undefined) {
        this.#last = size;
        return this.#report();
      }
      before = start;
    }
  }

  /** One at a time: of those that come while a resize is under way, only the last one counts. */
  #report(): void {
    const size = this.#last;
    if (this.#isBusy || size === undefined) return;
    const resized = this.#listener?.(size);
    if (resized === undefined) return;
    this.#isBusy = true;
    const done = (): void => {
      this.#isBusy = false;
      if (this.#last !== size) this.#report();
    };
    resized.then(done, done);
  }
}

type SizeListener = Parameters<ClientStreams['onResize']>[0];

/** A listener whose promise stays open until the next size may come: each costs calls and a signal, whatever the client's rate (S89). */
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
 * `{"Width":80,"Height":24}`; undefined when it is no size. Not by JSON.parse, which throws on what is no JSON: a client that
 * sends such all the time would keep the daemon busy with nothing else (S89).
 */
export function parseSize(text: string): TerminalSize | undefined {
  const [columns, rows] = [sideOf(WIDTH, text), sideOf(HEIGHT, text)];
  return columns === undefined || rows === undefined ? undefined : { columns, rows };
}

/** Go's decoder takes either case. */
const WIDTH = /"width"\s*:\s*([1-9]\d{0,4})\s*[,}]/iu;
const HEIGHT = /"height"\s*:\s*([1-9]\d{0,4})\s*[,}]/iu;

function sideOf(member: RegExp, text: string): number | undefined {
  const value = Number(member.exec(text)?.[1] ?? 0);
  return value > 0 && value <= 65_535 ? value : undefined;
}
