// The kernel's own headers as the source of truth for numbers: Debian's linux-libc-dev, without a compiler.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export type Arch = 'x64' | 'arm64';

const ROOT = '/usr/include';
const TRIPLETS: Readonly<Record<Arch, string>> = { x64: 'x86_64-linux-gnu', arm64: 'aarch64-linux-gnu' };

/** Of uapi. The architecture's file comes before the generic one, which it overrides. */
const FILES = [
  'asm/fcntl.h',
  'asm-generic/fcntl.h',
  'asm/socket.h',
  'asm-generic/socket.h',
  'asm/ioctls.h',
  'asm-generic/ioctls.h',
  'asm/signal.h',
  'asm-generic/signal.h',
  'asm-generic/signal-defs.h',
  'asm/mman.h',
  'asm-generic/mman-common.h',
  'linux/fcntl.h',
  'linux/openat2.h',
  'linux/fs.h',
  'linux/stat.h',
  'linux/memfd.h',
  'linux/wait.h',
  'linux/prctl.h',
  'linux/sched.h',
  'linux/mount.h',
  'linux/magic.h',
  'linux/sockios.h',
  'linux/un.h',
  'linux/if.h',
  'linux/time.h',
  'linux/inotify.h',
];
const CALL_FILES = ['asm/unistd_64.h', 'asm-generic/unistd.h'];

/**
 * What arch/arm64/include/uapi/asm of Linux 6.12 defines on its own, of the files above: the machine's packages may
 * have the headers of its own architecture only. The system calls are those of asm-generic/unistd.h.
 */
const ARM64_OWN: readonly (readonly [string, string])[] = [
  ['O_DIRECTORY', '040000'],
  ['O_NOFOLLOW', '0100000'],
  ['O_DIRECT', '0200000'],
  ['O_LARGEFILE', '0400000'],
  ['SA_RESTORER', '0x04000000'],
];

export type Definitions = ReadonlyMap<string, string>;

/** Why there are no headers here; undefined when there are. */
export const noHeaders = (): string | undefined =>
  existsSync(join(ROOT, 'linux/openat2.h'))
    ? undefined
    : "needs the kernel's headers: install Debian's linux-libc-dev";

/** Whether the architecture's own files are present, or `ARM64_OWN` stands for them. */
const hasOwnFiles = (arch: Arch): boolean => existsSync(join(ROOT, TRIPLETS[arch], 'asm/fcntl.h'));

function collect(
  arch: Arch,
  files: readonly string[],
  known: Iterable<readonly [string, string]>,
): Definitions {
  const found = new Map<string, string>(known);
  for (const file of files) {
    const path = [
      join(ROOT, TRIPLETS[arch], file),
      ...(file.startsWith('asm/') ? [] : [join(ROOT, file)]),
    ].find((one) => existsSync(one));
    if (path === undefined) continue;
    const text = readFileSync(path, 'utf8').replaceAll(/\/\*.*?\*\//gsu, ' ');
    for (const line of text.matchAll(/^#\s*define\s+(\w+)[ \t]+(\S.*)$|^\s*(\w+)\s*=\s*([^,\n]+),?\s*$/gmu)) {
      const [, macro, value, constant, number] = line;
      const [name, meaning] = [macro ?? constant ?? '', value ?? number ?? ''];
      if (!found.has(name)) found.set(name, meaning.trim());
    }
  }
  return found;
}

/** Macros and enumerators by name, with their text. */
export const definitionsOf = (arch: Arch): Definitions =>
  collect(arch, FILES, arch === 'arm64' && !hasOwnFiles(arch) ? ARM64_OWN : []);

/** Numbers of system calls by name. */
export function callsOf(arch: Arch): ReadonlyMap<string, number> {
  const files = arch === 'x64' ? CALL_FILES.slice(0, 1) : CALL_FILES;
  const calls = new Map<string, number>();
  for (const [name, text] of collect(arch, files, []))
    if (name.startsWith('__NR_') && /^\d+$/u.test(text)) calls.set(name.slice('__NR_'.length), Number(text));
  return calls;
}

/** The number that a definition stands for; undefined where it is not one. */
export function valueOf(name: string, definitions: Definitions): bigint | undefined {
  const text = definitions.get(name);
  return text === undefined ? undefined : evaluate(text, definitions);
}

/** Sums, shifts and unions of numbers, names and `_IOR` or `_IOW` of a long: what the constants in use need. */
function evaluate(text: string, definitions: Definitions): bigint | undefined {
  const expression = text.trim();
  const whole = /^\((.*)\)$/su.exec(expression)?.[1];
  if (whole !== undefined && isBalanced(whole)) return evaluate(whole, definitions);
  for (const [operator, apply] of OPERATORS) {
    const at = topLevel(expression, operator);
    if (at === -1) continue;
    const left = evaluate(expression.slice(0, at), definitions);
    const right = evaluate(expression.slice(at + operator.length), definitions);
    return left === undefined || right === undefined ? undefined : apply(left, right);
  }
  const [, direction, letter = '', number = '0'] =
    /^_IO([RW])\('(.)', (\d+), long\)$/u.exec(expression) ?? [];
  if (direction !== undefined) {
    // include/uapi/asm-generic/ioctl.h: direction, bytes of the argument, letter, number
    const way = direction === 'W' ? 1n : 2n;
    return (way << 30n) | (8n << 16n) | (BigInt(letter.charCodeAt(0)) << 8n) | BigInt(number);
  }
  const literal = /^(0[xX][0-9a-fA-F]+|\d+)[uUlL]*$/u.exec(expression)?.[1];
  if (literal !== undefined) return BigInt(/^0\d/u.test(literal) ? `0o${literal.slice(1)}` : literal);
  if (/^-\d+$/u.test(expression)) return BigInt(expression);
  return /^\w+$/u.test(expression) ? valueOf(expression, definitions) : undefined;
}

const OPERATORS: readonly (readonly [string, (left: bigint, right: bigint) => bigint])[] = [
  ['|', (left, right) => left | right],
  ['<<', (left, right) => left << right],
  ['+', (left, right) => left + right],
];

function isBalanced(text: string): boolean {
  let depth = 0;
  for (const char of text) {
    if (char === '(') depth += 1;
    else if (char === ')') depth -= 1;
    if (depth < 0) return false;
  }
  return depth === 0;
}

/** Where the operator stands outside of parentheses; -1 where it does not. */
function topLevel(text: string, operator: string): number {
  let depth = 0;
  for (let at = 0; at < text.length; at += 1) {
    if (text[at] === '(') depth += 1;
    else if (text[at] === ')') depth -= 1;
    else if (depth === 0 && text.startsWith(operator, at)) return at;
  }
  return -1;
}
