/**
 * A program that gives itself a seccomp filter and executes another one with the same arguments and environment, which
 * thus has the filter, too, as has whatever that starts. Machine code kept as data, so that conmon and the daemon can
 * call it in place of the runtime without a compiler or a shell. Only for x86-64.
 */
import { staticElf } from '../../../host/process/elf.ts';
import { EXECUTE, assembled, dataParts } from '../../../host/process/machine-code.ts';

/** struct sock_filter of linux/filter.h. */
const INSTRUCTION_BYTES = 8;

/**
 * The bytes of the executable. `filter` is a program of classic BPF. It needs CAP_SYS_ADMIN, since no_new_privs, which
 * would do as well, is inherited.
 */
export function filteringElf(program: string, filter: Uint8Array): Uint8Array {
  const count = filter.length / INSTRUCTION_BYTES;
  return staticElf(
    'x64',
    assembled([
      // struct sock_fprog of linux/filter.h on the stack: the count, padding, the address
      { bytes: [0x48, 0x8d, 0x05], to: 'filter' }, // lea rax, filter
      [0x50], //                                push rax
      [0x68, count & 0xff, count >> 8, 0x00, 0x00], // push count
      [0x48, 0x89, 0xe2], //                    mov  rdx, rsp
      [0xb8, 0x3d, 0x01, 0x00, 0x00], //        mov  eax, 317        seccomp
      [0xbf, 0x01, 0x00, 0x00, 0x00], //        mov  edi, 1          SECCOMP_SET_MODE_FILTER
      // without it, kernels before 5.16 slow the process down whatever flags the runtime's own filter has
      [0xbe, 0x04, 0x00, 0x00, 0x00], //        mov  esi, 4          SECCOMP_FILTER_FLAG_SPEC_ALLOW
      [0x0f, 0x05], //                          syscall
      [0x48, 0x83, 0xc4, 0x10], //              add  rsp, 16
      [0x85, 0xc0], //                          test eax, eax
      { bytes: [0x0f, 0x85], to: 'failed' }, // jnz  failed
      ...EXECUTE,
      ...dataParts([
        ['filter', filter],
        ['program', `${program}\0`],
        ['complaint', `troupe: install seccomp filter or run ${program} failed\n`],
        ['end', ''],
      ]),
    ]),
  );
}
