/**
 * Builds a static ELF executable with one segment that holds header, code and data (elf(5)); the code comes
 * right after the headers.
 */

export type ElfArch = 'x64' | 'arm64';

const HEADER_BYTES = 64;
const PROGRAM_HEADER_BYTES = 56;
/** One PT_LOAD, and one that makes the stack non-executable. */
const PROGRAM_HEADERS = 2;
const CODE_OFFSET = HEADER_BYTES + PROGRAM_HEADERS * PROGRAM_HEADER_BYTES;
/** Load address: the traditional one of x86-64 programs; any multiple of the largest page size would do. */
const BASE = 0x400000n;
/** arm64 kernels may have pages of 64 KiB. */
const ALIGNMENT = 0x10000n;

/** e_machine: EM_X86_64 and EM_AARCH64. */
const MACHINE = { x64: 62, arm64: 183 } as const;

/** The bytes of the file. `code` starts with the first instruction and must be position-independent. */
export function staticElf(arch: ElfArch, code: Uint8Array): Uint8Array {
  const size = CODE_OFFSET + code.length;
  return Uint8Array.from(Buffer.concat([elfHeader(arch), loadHeader(size), stackHeader(), code]));
}

function elfHeader(arch: ElfArch): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  // magic, 64 bit, little endian, version 1, System V ABI
  Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0]).copy(header);
  header.writeUInt16LE(2, 16); // ET_EXEC
  header.writeUInt16LE(MACHINE[arch], 18);
  header.writeUInt32LE(1, 20); // EV_CURRENT
  header.writeBigUInt64LE(BASE + BigInt(CODE_OFFSET), 24); // entry
  header.writeBigUInt64LE(BigInt(HEADER_BYTES), 32); // program headers follow at once
  header.writeUInt16LE(HEADER_BYTES, 52);
  header.writeUInt16LE(PROGRAM_HEADER_BYTES, 54);
  header.writeUInt16LE(PROGRAM_HEADERS, 56);
  return header;
}

/** The whole file, readable and executable, never writable. */
function loadHeader(size: number): Buffer {
  const header = Buffer.alloc(PROGRAM_HEADER_BYTES);
  header.writeUInt32LE(1, 0); // PT_LOAD
  header.writeUInt32LE(5, 4); // PF_R | PF_X
  header.writeBigUInt64LE(BASE, 16);
  header.writeBigUInt64LE(BASE, 24);
  header.writeBigUInt64LE(BigInt(size), 32);
  header.writeBigUInt64LE(BigInt(size), 40);
  header.writeBigUInt64LE(ALIGNMENT, 48);
  return header;
}

function stackHeader(): Buffer {
  const header = Buffer.alloc(PROGRAM_HEADER_BYTES);
  header.writeUInt32LE(0x6474e551, 0); // PT_GNU_STACK
  header.writeUInt32LE(6, 4); // PF_R | PF_W
  header.writeBigUInt64LE(16n, 48);
  return header;
}
