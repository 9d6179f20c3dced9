/**
 * A program that runs another one without the cgroup v2 mount of a mixed ("hybrid") machine, beside which crun 1.8
 * refuses to work. It creates a mount namespace, a copy of the caller's with all its mounts; makes the mount that
 * holds the v2 mount private, so that the unmount does not propagate; unmounts v2; and executes the program with the
 * same arguments and environment. What the program mounts propagates as without it, since no other mount is changed.
 * It is machine code kept as data, so that conmon and the daemon can call it in place of the runtime without a
 * compiler or a shell. Only for x86-64.
 */
import { staticElf } from '../../../host/process/elf.ts';
import { EXECUTE, assembled, dataParts } from '../../../host/process/machine-code.ts';
import type { CodePart } from '../../../host/process/machine-code.ts';

export interface Hiding {
  /** Absolute path of the program. */
  readonly program: string;
  /** Mount point of the v2 hierarchy. */
  readonly unified: string;
  /** Mount point of the mount that contains it. */
  readonly parent: string;
}

/**
 * Intel SDM volume 2; system call numbers from arch/x86/entry/syscalls/syscall_64.tbl. Arguments are in rdi, rsi,
 * rdx, r10, r8.
 */
const CODE: readonly CodePart[] = [
  [0xb8, 0x10, 0x01, 0x00, 0x00], //        mov  eax, 272        unshare
  [0xbf, 0x00, 0x00, 0x02, 0x00], //        mov  edi, 0x20000    CLONE_NEWNS
  [0x0f, 0x05], //                          syscall
  [0x85, 0xc0], //                          test eax, eax
  { bytes: [0x0f, 0x85], to: 'failed' }, // jnz  failed
  [0xb8, 0xa5, 0x00, 0x00, 0x00], //        mov  eax, 165        mount
  [0x31, 0xff], //                          xor  edi, edi        of nothing
  { bytes: [0x48, 0x8d, 0x35], to: 'parent' }, // lea rsi, parent
  [0x31, 0xd2], //                          xor  edx, edx        of no type
  [0x41, 0xba, 0x00, 0x00, 0x04, 0x00], //  mov  r10d, 0x40000   MS_PRIVATE
  [0x45, 0x31, 0xc0], //                    xor  r8d, r8d        no data
  [0x0f, 0x05], //                          syscall
  [0x85, 0xc0], //                          test eax, eax
  { bytes: [0x0f, 0x85], to: 'failed' }, // jnz  failed
  [0xb8, 0xa6, 0x00, 0x00, 0x00], //        mov  eax, 166        umount2
  { bytes: [0x48, 0x8d, 0x3d], to: 'unified' }, // lea rdi, unified
  [0xbe, 0x02, 0x00, 0x00, 0x00], //        mov  esi, 2          MNT_DETACH
  [0x0f, 0x05], //                          syscall
  [0x85, 0xc0], //                          test eax, eax
  { bytes: [0x0f, 0x85], to: 'failed' }, // jnz  failed
  ...EXECUTE,
];

/** The bytes of the executable, some 500. */
export function hidingElf({ program, unified, parent }: Hiding): Uint8Array {
  const complaint = `troupe: hide ${unified} or run ${program} failed\n`;
  const data = dataParts([
    ['parent', `${parent}\0`],
    ['unified', `${unified}\0`],
    ['program', `${program}\0`],
    ['complaint', complaint],
    ['end', ''],
  ]);
  return staticElf('x64', assembled([...CODE, ...data]));
}
