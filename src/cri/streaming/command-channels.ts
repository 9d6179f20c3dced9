/** A client of exec or attach, whatever it speaks. */
import type { ClockPort } from '../../actors/ports/clock.ts';
import type { ClientStreams, TerminalSize } from '../../actors/ports/streams.ts';
import { ByteBlocks } from '../../base/byte-blocks.ts';
import { jsonObject } from '../../base/json-object.ts';
import { streamLimits } from '../../base/limits.ts';
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

  push(bytes: Uint8Array): void {
    let rest = bytes;
    for (let end = rest.indexOf(CLOSING); end >= 0; end = rest.indexOf(CLOSING)) {
      this.#keep(rest.subarray(0, end + 1));
      const text = Buffer.from(this.#begun.takeAll()).toString('latin1');
      this.#take(text.slice(text.lastIndexOf('{')));
      rest = rest.subarray(end + 1);
    }
    this.#keep(rest);
  }

  #keep(part: Uint8Array): void {
    // no object is that long: what has no end is no size
    if (part.length > this.#begun.room) this.#begun.clear();
    this.#begun.appendCopy(part.subarray(-streamLimits.resizeBytes));
  }

  /** Sizes of 0 and less mean nothing and are left out, as by the peers. */
  #take(text: string): void {
    const size = parseSize(text);
    if (size === undefined) return;
    this.#last = size;
    this.#report();
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

/** `{"Width":80,"Height":24}`; undefined when it is no size. */
export function parseSize(text: string): TerminalSize | undefined {
  const value = jsonObject(text);
  if (value === undefined) return undefined;
  // Go's decoder takes either case
  const members = new Map(Object.entries(value).map(([key, member]): [string, unknown] => [key.toLowerCase(), member]));
  const [columns, rows] = [members.get('width'), members.get('height')];
  if (!isSize(columns) || !isSize(rows)) return undefined;
  return { columns, rows };
}

function isSize(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value > 0 && value <= 65_535;
}
