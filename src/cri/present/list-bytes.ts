/**
 * Lists as bytes. A view never changes, so its entry is encoded once and kept as long as the view lives; a list is
 * the entries one after the other. That is what protobuf says a repeated message field is: tag, length, message, for
 * each (protobuf encoding, "Length-Delimited Records", "Repeated Elements").
 */

/** Field 1, wire type 2: `ListPodSandboxResponse.items`, `ListContainersResponse.containers`, `ListImagesResponse.images`. */
const TAG = 0x0a;
/** Bits of a number in one byte of a varint, and the mark that another byte follows. */
const VARINT_BITS = 7;
const VARINT_MORE = 0x80;

/** The answer with one entry per view, in their order. `encode` gives the bytes of one entry's message. */
export class ListBytes<V extends object> {
  readonly #entries = new WeakMap<V, Uint8Array>();
  readonly #encode: (view: V) => Uint8Array;

  constructor(encode: (view: V) => Uint8Array) {
    this.#encode = encode;
  }

  answer(views: readonly V[]): Uint8Array {
    const entries = views.map((view) => this.#entry(view));
    const bytes = new Uint8Array(entries.reduce((sum, entry) => sum + entry.length, 0));
    let at = 0;
    for (const entry of entries) {
      bytes.set(entry, at);
      at += entry.length;
    }
    return bytes;
  }

  #entry(view: V): Uint8Array {
    const kept = this.#entries.get(view);
    if (kept !== undefined) return kept;
    const message = this.#encode(view);
    const head = [TAG, ...varint(message.length)];
    const entry = new Uint8Array(head.length + message.length);
    entry.set(head);
    entry.set(message, head.length);
    this.#entries.set(view, entry);
    return entry;
  }
}

function varint(value: number): readonly number[] {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= VARINT_MORE) {
    bytes.push((rest % VARINT_MORE) + VARINT_MORE);
    rest = Math.floor(rest / 2 ** VARINT_BITS);
  }
  return [...bytes, rest];
}
