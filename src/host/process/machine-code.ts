/** Puts machine code of x86-64 together, kept as bytes with labels, so that programs of ours need no compiler. */

/** Bytes; an instruction that ends with the distance to a label; or a label. */
export type CodePart =
  | readonly number[]
  | { readonly bytes: readonly number[]; readonly to: string }
  | { readonly place: string };

const DISTANCE_BYTES = 4;

/** The bytes of the parts in order, with the distances filled in. */
export function assembled(parts: readonly CodePart[]): Uint8Array {
  const places = new Map<string, number>();
  let length = 0;
  for (const part of parts) {
    if ('place' in part) places.set(part.place, length);
    else length += 'to' in part ? part.bytes.length + DISTANCE_BYTES : part.length;
  }
  const bytes = Buffer.alloc(length);
  let at = 0;
  for (const part of parts) {
    if ('place' in part) continue;
    const own = 'to' in part ? part.bytes : part;
    bytes.set(own, at);
    at += own.length;
    if (!('to' in part)) continue;
    // relative to the end of the instruction
    at = bytes.writeInt32LE((places.get(part.to) ?? 0) - (at + DISTANCE_BYTES), at);
  }
  return bytes;
}

/** Data behind the code, each piece with its label. */
export function dataParts(
  pieces: readonly (readonly [label: string, data: string | Uint8Array])[],
): CodePart[] {
  return pieces.flatMap(([place, data]): CodePart[] => [
    { place },
    [...(typeof data === 'string' ? Buffer.from(data, 'utf8') : data)],
  ]);
}

/**
 * Executes the program at the label `program` with the caller's own arguments and environment, and on failure, or from
 * the label `failed` on, writes what lies from `complaint` to `end` to stderr and exits with 127, as a shell does. The
 * stack must be as at the start: argc, argv, a null pointer, the environment (System V ABI for x86-64, 3.4.1).
 */
export const EXECUTE: readonly CodePart[] = [
  [0xb8, 0x3b, 0x00, 0x00, 0x00], //        mov  eax, 59         execve
  { bytes: [0x48, 0x8d, 0x3d], to: 'program' }, // lea rdi, program
  [0x48, 0x8d, 0x74, 0x24, 0x08], //        lea  rsi, [rsp+8]    argv
  [0x48, 0x8b, 0x0c, 0x24], //              mov  rcx, [rsp]      argc
  [0x48, 0x8d, 0x54, 0xcc, 0x10], //        lea  rdx, [rsp+rcx*8+16]   environment
  [0x0f, 0x05], //                          syscall              returns only on failure
  { place: 'failed' },
  [0xb8, 0x01, 0x00, 0x00, 0x00], //        mov  eax, 1          write
  [0xbf, 0x02, 0x00, 0x00, 0x00], //        mov  edi, 2          stderr
  { bytes: [0x48, 0x8d, 0x35], to: 'complaint' }, // lea rsi, complaint
  { bytes: [0x48, 0x8d, 0x15], to: 'end' }, //       lea rdx, end
  [0x48, 0x29, 0xf2], //                    sub  rdx, rsi        length
  [0x0f, 0x05], //                          syscall
  [0xb8, 0x3c, 0x00, 0x00, 0x00], //        mov  eax, 60         exit
  [0xbf, 0x7f, 0x00, 0x00, 0x00], //        mov  edi, 127
  [0x0f, 0x05], //                          syscall
];
