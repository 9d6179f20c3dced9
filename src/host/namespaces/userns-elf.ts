/**
 * The program that creates the namespaces of a pod with its own user ids. A process with several threads
 * can't create a user namespace (unshare(2)), so a small process does, and with the same call the network,
 * IPC and UTS namespaces, which then belong to it (user_namespaces(7)). It writes one byte when they exist,
 * waits for the end of its stdin, and exits; when the kernel refuses, it exits with the errno.
 *
 * The machine code is kept as data, so that neither a compiler nor a tool of the machine is needed.
 */
import { staticElf } from '../process/elf.ts';
import type { ElfArch } from '../process/elf.ts';

/** Intel SDM volume 2; numbers from arch/x86/entry/syscalls/syscall_64.tbl. */
const X64_CODE = [
  0xb8,
  0x10,
  0x01,
  0x00,
  0x00, // mov  eax, 272          unshare
  0xbf,
  0x00,
  0x00,
  0x00,
  0x5c, // mov  edi, 0x5c000000   CLONE_NEWUSER, NEWNET, NEWIPC, NEWUTS
  0x0f,
  0x05, //                   syscall
  0x85,
  0xc0, //                   test eax, eax
  0x75,
  0x1c, //                   jnz  +28               to the mov edi, eax
  0xb8,
  0x01,
  0x00,
  0x00,
  0x00, // mov  eax, 1            write
  0xbf,
  0x01,
  0x00,
  0x00,
  0x00, // mov  edi, 1            to stdout
  0x48,
  0x89,
  0xe6, //             mov  rsi, rsp          whatever lies there,
  0xba,
  0x01,
  0x00,
  0x00,
  0x00, // mov  edx, 1            one byte
  0x0f,
  0x05, //                   syscall
  0x31,
  0xc0, //                   xor  eax, eax          read
  0x31,
  0xff, //                   xor  edi, edi          from stdin to the same place
  0x0f,
  0x05, //                   syscall
  0x31,
  0xc0, //                   xor  eax, eax          no error
  0x89,
  0xc7, //                   mov  edi, eax
  0xf7,
  0xdf, //                   neg  edi               the kernel gives -errno
  0xb8,
  0xe7,
  0x00,
  0x00,
  0x00, // mov  eax, 231          exit_group
  0x0f,
  0x05, //                   syscall
];

/** A64 instructions, 32-bit words (Arm ARM C6); numbers from include/uapi/asm-generic/unistd.h. */
const ARM64_CODE = [
  0xd2ab8000, // movz x0, #0x5c00, lsl #16   CLONE_NEWUSER, NEWNET, NEWIPC, NEWUTS
  0xd2800c28, // movz x8, #97                unshare
  0xd4000001, // svc  #0
  0xb5000140, // cbnz x0, .+40               to the neg
  0xd2800020, // movz x0, #1                 to stdout
  0x910003e1, // mov  x1, sp                 whatever lies there,
  0xd2800022, // movz x2, #1                 one byte
  0xd2800808, // movz x8, #64                write
  0xd4000001, // svc  #0
  0xd2800000, // movz x0, #0                 from stdin to the same place
  0xd28007e8, // movz x8, #63                read
  0xd4000001, // svc  #0
  0xd2800000, // movz x0, #0                 no error
  0xcb0003e0, // neg  x0, x0                 the kernel gives -errno
  0xd2800bc8, // movz x8, #94                exit_group
  0xd4000001, // svc  #0
];

/** The bytes of the executable, some 300. */
export function usernsElf(arch: ElfArch): Uint8Array {
  if (arch === 'x64') return staticElf(arch, Uint8Array.from(X64_CODE));
  const code = Buffer.alloc(ARM64_CODE.length * 4);
  ARM64_CODE.forEach((word, at) => code.writeUInt32LE(word, at * 4));
  return staticElf(arch, code);
}
