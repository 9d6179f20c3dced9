/**
 * A message that is made where it is sent from. The library asks a serialized message for its length, and to copy itself behind
 * the head of its frame (grpc-js, `serializeMessage`), nothing else: parts that lie in many places get there with one copy, and
 * give their memory back at once. An answer of 16 MiB was held three times over: joined, encoded, in its frame.
 */
import { freeBytes } from '../../base/byte-blocks.ts';

/** Bytes, or what moves its own. Either is used up by the message. */
export type MovedPart =
  | Uint8Array
  | { readonly size: number; moveTo(target: Uint8Array, from: number): void };

export class MovedMessage {
  readonly #parts: readonly MovedPart[];
  readonly length: number;

  constructor(parts: readonly MovedPart[]) {
    this.#parts = parts;
    this.length = parts.reduce((sum, part) => sum + lengthOf(part), 0);
  }

  /** The library's name for the length. */
  get byteLength(): number {
    return this.length;
  }

  /** Once. */
  copy(target: Uint8Array, from: number): void {
    let at = from;
    for (const part of this.#parts) {
      // before it is moved: nothing is left of it then
      const end = at + lengthOf(part);
      if (part instanceof Uint8Array) {
        target.set(part, at);
        freeBytes(part);
      } else {
        part.moveTo(target, at);
      }
      at = end;
    }
  }
}

export function lengthOf(part: MovedPart): number {
  return part instanceof Uint8Array ? part.length : part.size;
}
