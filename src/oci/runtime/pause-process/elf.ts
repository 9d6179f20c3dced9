/**
 * The pause program: PID 1 of a pod's shared PID namespace. It must not exit, since the namespace ends with its first
 * process; and it must leave no zombies of the orphans that the kernel gives to PID 1: with SIGCHLD ignored the
 * kernel reaps them itself (wait(2), NOTES). Signals from inside the namespace that PID 1 does not handle are not
 * delivered; the runtime ends it with SIGKILL.
 * Some sixty bytes of machine code, kept here as data, so that neither a compiler nor a pause image is needed.
 */
import type { ElfArch } from '../../../host/process/elf.ts';
import { staticElf } from '../../../host/process/elf.ts';

export type PauseArch = ElfArch;

/**
 * The kernel's struct sigaction, the same on both architectures: handler, flags, restorer, mask, 8 bytes each
 * (include/linux/signal_types.h). SIG_IGN is 1. It follows the code directly.
 */
const SIGACTION = [1n, 0n, 0n, 0n];

/** Intel SDM volume 2; system call numbers from arch/x86/entry/syscalls/syscall_64.tbl. */
const X64_CODE = [
  0xb8,
  0x0d,
  0x00,
  0x00,
  0x00, // mov  eax, 13          rt_sigaction
  0xbf,
  0x11,
  0x00,
  0x00,
  0x00, // mov  edi, 17          SIGCHLD
  0x48,
  0x8d,
  0x35,
  0x17,
  0x00,
  0x00,
  0x00, // lea  rsi, [rip+23]   the sigaction
  0x31,
  0xd2, //                   xor  edx, edx         no old one
  0x41,
  0xba,
  0x08,
  0x00,
  0x00,
  0x00, // mov  r10d, 8          bytes of a signal mask
  0x0f,
  0x05, //                   syscall
  0xb8,
  0x22,
  0x00,
  0x00,
  0x00, // mov  eax, 34          pause
  0x0f,
  0x05, //                   syscall
  0xeb,
  0xf7, //                   jmp  -9               to the mov before
  0x90,
  0x90,
  0x90,
  0x90, //       nop                   fills up to a multiple of 8
];

/**
 * A64 instructions, 32-bit words (Arm ARM C6); system call numbers from include/uapi/asm-generic/unistd.h, which has
 * no pause.
 */
const ARM64_CODE = [
  0xd2800220, // movz x0, #17      SIGCHLD
  0x100001a1, // adr  x1, .+52     the sigaction
  0xd2800002, // movz x2, #0       no old one
  0xd2800103, // movz x3, #8       bytes of a signal mask
  0xd28010c8, // movz x8, #134     rt_sigaction
  0xd4000001, // svc  #0
  0xd2800000, // movz x0, #0       ppoll of no descriptors,
  0xd2800001, // movz x1, #0
  0xd2800002, // movz x2, #0       without a timeout
  0xd2800003, // movz x3, #0       and with the signal mask as it is
  0xd2800104, // movz x4, #8       bytes of a signal mask
  0xd2800928, // movz x8, #73      ppoll
  0xd4000001, // svc  #0
  0x17fffff9, // b    .-28         to the movz x0, #0
];

/** The bytes of the executable, some 300. */
export function pauseElf(arch: PauseArch): Uint8Array {
  const code = arch === 'x64' ? Buffer.from(X64_CODE) : littleEndianWords(ARM64_CODE);
  const data = Buffer.alloc(SIGACTION.length * 8);
  SIGACTION.forEach((value, at) => data.writeBigUInt64LE(value, at * 8));
  return staticElf(arch, Buffer.concat([code, data]));
}

function littleEndianWords(words: readonly number[]): Buffer {
  const bytes = Buffer.alloc(words.length * 4);
  words.forEach((word, at) => bytes.writeUInt32LE(word, at * 4));
  return bytes;
}
