/**
 * Encodes lists. A view never changes, so its entry is encoded once and kept as long as the view exists. A list is the
 * concatenation of its entries: protobuf encodes a repeated message field as tag, length and message for each element
 * (protobuf encoding, "Length-Delimited Records", "Repeated Elements").
 */
import { varint } from './varint.ts';

/** Tag of field 1, wire type 2: the entries of each List*Response and Stream*Response. */
const TAG = 0x0a;

/** Encodes answers with one entry per view, in the order of the views. `encode` encodes the message of one entry. */
export class ListBytes<V extends object> {
  readonly #entries = new WeakMap<V, Uint8Array>();
  readonly #encode: (view: V) => Uint8Array;

  constructor(encode: (view: V) => Uint8Array) {
    this.#encode = encode;
  }

  answer(views: readonly V[]): Uint8Array {
    return joined(views.map((view) => this.#entry(view)));
  }

  /**
   * The list as several answers, in order. Each has at least one entry, and keeps to the bounds if it has more than
   * one.
   */
  *batches(views: readonly V[], itemsMax: number, bytesMax: number): Generator<Uint8Array> {
    let batch: Uint8Array[] = [];
    let bytes = 0;
    for (const view of views) {
      const entry = this.#entry(view);
      if (batch.length > 0 && (batch.length >= itemsMax || bytes + entry.length > bytesMax)) {
        yield joined(batch);
        batch = [];
        bytes = 0;
      }
      batch.push(entry);
      bytes += entry.length;
    }
    if (batch.length > 0) yield joined(batch);
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

/** The answer that has the entries of all these answers, in order. */
export function joined(entries: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(entries.reduce((sum, entry) => sum + entry.length, 0));
  let at = 0;
  for (const entry of entries) {
    bytes.set(entry, at);
    at += entry.length;
  }
  return bytes;
}
