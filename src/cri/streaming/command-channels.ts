/** A client of exec or attach, whatever it speaks. */
import type { ClientStreams, TerminalSize } from '../../actors/ports/streams.ts';
import { jsonObject } from '../../base/json-object.ts';
import { streamLimits } from '../../base/limits.ts';
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

/** Sizes of a terminal, from a row of JSON objects that may come in any pieces. */
export class Resizes {
  #text = '';
  #last: TerminalSize | undefined;
  #listener: ((size: TerminalSize) => void) | undefined;

  onResize(listener: (size: TerminalSize) => void): void {
    this.#listener = listener;
    if (this.#last !== undefined) listener(this.#last);
  }

  push(bytes: Uint8Array): void {
    this.#text += Buffer.from(bytes).toString('latin1');
    for (;;) {
      const end = this.#text.indexOf('}');
      if (end < 0) break;
      this.#take(this.#text.slice(this.#text.lastIndexOf('{', end), end + 1));
      this.#text = this.#text.slice(end + 1);
    }
    // no object is that long: what has no end is no size
    if (this.#text.length > streamLimits.resizeBytes) this.#text = '';
  }

  /** Sizes of 0 and less mean nothing and are left out, as by the peers. */
  #take(text: string): void {
    const size = parseSize(text);
    if (size === undefined) return;
    this.#last = size;
    this.#listener?.(size);
  }
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
