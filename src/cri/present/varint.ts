/** Numbers as protobuf writes them (protobuf encoding, "Base 128 Varints"). */

/** Bits of a number in one byte of a varint, and the mark that another byte follows. */
const VARINT_BITS = 7;
const VARINT_MORE = 0x80;

/** Of a whole number that is not negative. */
export function varint(value: number): readonly number[] {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= VARINT_MORE) {
    bytes.push((rest % VARINT_MORE) + VARINT_MORE);
    rest = Math.floor(rest / 2 ** VARINT_BITS);
  }
  return [...bytes, rest];
}
