// A program that makes system calls and prints the answer of each as one character.
import { staticElf } from '../../../src/host/process/elf.ts';

export interface ProgramCall {
  readonly number: number;
  readonly args?: readonly bigint[];
  /** By int 0x80, as IA-32 programs do it. */
  readonly ia32?: boolean;
}

/** The character for an errno, 0 for success; a result above 0 gives another one, which no errno of interest has. */
export const answerFor = (errno: number): string => String.fromCharCode((errno & 0x3f) + 0x30);

/** mov rdi, rsi, rdx, r10, r8 (a word of 64 bits follows); and mov ebx, ecx, edx, esi, edi (one of 32). */
const MOVE = [
  [0x48, 0xbf],
  [0x48, 0xbe],
  [0x48, 0xba],
  [0x49, 0xba],
  [0x49, 0xb8],
] as const;
const MOVE_IA32 = [0xbb, 0xb9, 0xba, 0xbe, 0xbf] as const;

/** The bytes of the executable, for x86-64. */
export function callingProgram(calls: readonly ProgramCall[]): Uint8Array {
  return staticElf('x64', Uint8Array.from([...calls.flatMap(codeOf), ...EXIT]));
}

function codeOf({ number, args = [], ia32 = false }: ProgramCall): number[] {
  const values = Array.from({ length: MOVE.length }, (_, at) => args[at] ?? 0n);
  const moves = ia32
    ? values.flatMap((value, at) => [MOVE_IA32[at] ?? 0, ...word(value, 4)])
    : values.flatMap((value, at) => [...(MOVE[at] ?? []), ...word(value, 8)]);
  // mov eax, number; the call; neg eax
  return [
    ...moves,
    0xb8,
    ...word(BigInt(number), 4),
    ...(ia32 ? [0xcd, 0x80] : [0x0f, 0x05]),
    0xf7,
    0xd8,
    ...PRINT,
  ];
}

const PRINT = [
  ...[0x83, 0xe0, 0x3f], //                   and  eax, 63
  ...[0x83, 0xc0, 0x30], //                   add  eax, '0'
  0x50, //                                    push rax
  ...[0xb8, 0x01, 0x00, 0x00, 0x00], //       mov  eax, 1      write
  ...[0xbf, 0x01, 0x00, 0x00, 0x00], //       mov  edi, 1
  ...[0x48, 0x89, 0xe6], //                   mov  rsi, rsp
  ...[0xba, 0x01, 0x00, 0x00, 0x00], //       mov  edx, 1
  ...[0x0f, 0x05], //                         syscall
  0x58, //                                    pop  rax
];

// mov eax, 60; xor edi, edi; syscall
const EXIT = [0xb8, 0x3c, 0x00, 0x00, 0x00, 0x31, 0xff, 0x0f, 0x05];

function word(value: bigint, bytes: number): number[] {
  return Array.from({ length: bytes }, (_, at) => Number((value >> BigInt(8 * at)) & 0xffn));
}
