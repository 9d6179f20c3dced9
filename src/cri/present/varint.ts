/** Variable-length integers of protobuf (protobuf encoding, "Base 128 Varints"). */

/** Bits of the number in each byte of a varint, and the flag that another byte follows. */
const VARINT_BITS = 7;
const VARINT_MORE = 0x80;

/** The bytes of a non-negative integer. */
export function varint(value: number): readonly number[] {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= VARINT_MORE) {
    bytes.push((rest % VARINT_MORE) + VARINT_MORE);
    rest = Math.floor(rest / 2 ** VARINT_BITS);
  }
  return [...bytes, rest];
}
