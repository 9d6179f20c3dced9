/** Cuts bytes that come in pieces into lines. Each byte is read once, however small the pieces are. */
import { ByteBlocks } from './byte-blocks.ts';

const LINE_END = 0x0a;
/** One for all cutters: a decoder keeps nothing after a whole line. */
const utf8 = new TextDecoder('utf-8');

export class LineCutter {
  readonly #begun: ByteBlocks;
  #isCut = false;

  /** Keeps at most `bytesMax` bytes of a line. */
  constructor(bytesMax: number) {
    this.#begun = new ByteBlocks('keep a line', bytesMax);
  }

  /** True when a line was longer than the bound. */
  get isCut(): boolean {
    return this.#isCut;
  }

  /** The lines that these bytes complete, without their ends; of a line that is too long only the beginning. */
  *push(bytes: Uint8Array): Generator<string> {
    let rest = bytes;
    for (let end = rest.indexOf(LINE_END); end >= 0; end = rest.indexOf(LINE_END)) {
      this.#keep(rest.subarray(0, end));
      rest = rest.subarray(end + 1);
      yield this.takeRest();
    }
    this.#keep(rest);
  }

  #keep(part: Uint8Array): void {
    const { room } = this.#begun;
    if (part.length > room) this.#isCut = true;
    this.#begun.appendCopy(part.subarray(0, room));
  }

  /** Takes the bytes after the last line end. */
  takeRest(): string {
    return utf8.decode(this.#begun.takeAll());
  }
}
