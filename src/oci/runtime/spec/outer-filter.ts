/**
 * The filter around the short form of RuntimeDefault (seccomp-short.ts), which allows what it does not name. It decides
 * about the numbers that libseccomp cannot name: those of our lists are allowed, all others are refused; and about
 * socket(2). Classic BPF for x86-64 and its IA-32 programs; of other architectures, x32 included, the inner filter ends
 * the thread.
 */
import { ALLOWED_SYSCALLS, FIRST_DENIED_FAMILY, HIGHER_FAMILIES } from './seccomp-default.ts';
import { KNOWN_NUMBERS, NEWER_NUMBERS } from './seccomp-denied.ts';
import { storedVersions } from '../../../base/stored-versions.ts';

/** A code of struct sock_filter (linux/filter.h): load a word, compare with a constant, return. */
const CODE = { load: 0x20, ifEqual: 0x15, ifGreater: 0x25, ifAtLeast: 0x35, answer: 0x06 } as const;
type Instruction = readonly [code: keyof typeof CODE, k: number, ifTrue?: number, ifFalse?: number];

/** AUDIT_ARCH_* of linux/audit.h. */
const AUDIT_ARCH = { x64: 0xc000003e, ia32: 0x40000003 } as const;
/** __X32_SYSCALL_BIT of asm/unistd.h. */
const X32 = 0x40000000;
/** Offsets in struct seccomp_data of linux/seccomp.h; the first argument has two words, the lower one first. */
const [NUMBER, ARCH, ARGUMENT, ARGUMENT_HIGH] = [0, 4, 16, 20];
/** asm/unistd_64.h and unistd_32.h. */
const SOCKET = { x64: 41, ia32: 359 } as const;
/** SECCOMP_RET_ALLOW, and SECCOMP_RET_ERRNO with EPERM or ENOSYS. */
const [ALLOW, EPERM, ENOSYS] = [0x7fff0000, 0x00050001, 0x00050026];
const INSTRUCTION_BYTES = 8;

/**
 * In the mark of config.json. The short form of a container that runs stays as it is, so a filter that leaves other
 * calls to it needs another number, and containers with the old one need the old filter.
 */
export const OUTER_FILTER_VERSION = storedVersions.outerFilter;

/** The program's bytes. */
export function outerFilter(): Uint8Array {
  const [x64, ia32] = [decisions('x64'), decisions('ia32')];
  const program: readonly Instruction[] = [
    ['load', ARCH],
    ['ifEqual', AUDIT_ARCH.ia32, 0, 1 + ia32.length],
    ['load', NUMBER],
    ...ia32,
    ['ifEqual', AUDIT_ARCH.x64, 1, 0],
    ['answer', ALLOW],
    ['load', NUMBER],
    ['ifAtLeast', X32, 0, 1],
    ['answer', ALLOW],
    ...x64,
  ];
  const bytes = Buffer.alloc(program.length * INSTRUCTION_BYTES);
  for (const [at, [code, k, ifTrue = 0, ifFalse = 0]] of program.entries()) {
    const from = at * INSTRUCTION_BYTES;
    bytes.writeUInt16LE(CODE[code], from);
    bytes.writeUInt8(ifTrue, from + 2);
    bytes.writeUInt8(ifFalse, from + 3);
    bytes.writeUInt32LE(k, from + 4);
  }
  return bytes;
}

function decisions(arch: keyof typeof KNOWN_NUMBERS): readonly Instruction[] {
  return [...ofSocket(SOCKET[arch]), ...byNumber(arch)];
}

/**
 * The families of socket(2), by all 64 bits of the argument. Not in the inner filter: with a rule that refuses a family
 * libseccomp refuses all of them to IA-32 programs that call socketcall.
 */
function ofSocket(socket: number): readonly Instruction[] {
  const higher = HIGHER_FAMILIES.length;
  return [
    ['ifEqual', socket, 0, higher + 6],
    ['load', ARGUMENT_HIGH],
    ['ifEqual', 0, 0, higher + 2],
    ['load', ARGUMENT],
    ['ifAtLeast', Number(FIRST_DENIED_FAMILY), 0, higher + 1],
    ...HIGHER_FAMILIES.map((family, at): Instruction => ['ifEqual', Number(family), higher - at, 0]),
    ['answer', EPERM],
    ['answer', ALLOW],
  ];
}

/**
 * An answer for each number. A gap below the known numbers is refused as what is not in the list; above them ENOSYS,
 * with which every libc falls back to an older call: runc does the same around an allow-list.
 */
function byNumber(arch: keyof typeof KNOWN_NUMBERS): readonly Instruction[] {
  const known = KNOWN_NUMBERS[arch].at(-1)?.[1] ?? 0;
  return [
    ...allowedRanges(arch).flatMap(([first, last]): Instruction[] => [
      ['ifGreater', last, 3, 0],
      ['ifAtLeast', first, 0, 1],
      ['answer', ALLOW],
      ['answer', first > known ? ENOSYS : EPERM],
    ]),
    ['answer', ENOSYS],
  ];
}

/** Ranges of numbers about which the inner filter decides, or which are allowed; ascending, with gaps between them. */
function allowedRanges(arch: keyof typeof KNOWN_NUMBERS): readonly (readonly [number, number])[] {
  const allowed = new Set(ALLOWED_SYSCALLS.flatMap(([, names]) => names.split(/\s+/u)));
  const newer = NEWER_NUMBERS.filter(
    ([name]) => allowed.has(name) && (arch === 'x64' || name !== 'uretprobe'),
  );
  const all = [...KNOWN_NUMBERS[arch], ...newer.map(([, number]) => [number, number] as const)];
  const merged: [number, number][] = [];
  for (const [first, last] of all.toSorted(([a], [b]) => a - b)) {
    const before = merged.at(-1);
    if (before !== undefined && before[1] === first - 1) before[1] = last;
    else merged.push([first, last]);
  }
  return merged;
}
