/** RuntimeDefault in its short form: complete by the kernel's headers, and only where it means the same. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
  ALLOWED_SYSCALLS,
  ARCH_SYSCALLS,
  CAPABILITY_SYSCALLS,
} from '../../../../../src/oci/runtime/spec/seccomp-default.ts';
import {
  DENIED_SYSCALLS,
  KNOWN_NUMBERS,
  NEWER_NUMBERS,
} from '../../../../../src/oci/runtime/spec/seccomp-denied.ts';
import { OUTER_FILTER_VERSION, outerFilter } from '../../../../../src/oci/runtime/spec/outer-filter.ts';
import { canBeShort, shortSeccomp } from '../../../../../src/oci/runtime/spec/seccomp-short.ts';
import { syscallNames } from '../../../../../src/oci/runtime/spec/seccomp.ts';
import { unless } from '../../../../support/skips/unless.ts';

const HEADERS = { x64: 'unistd_64.h', ia32: 'unistd_32.h' } as const;
const pathOf = (arch: keyof typeof HEADERS): string => `/usr/include/x86_64-linux-gnu/asm/${HEADERS[arch]}`;

const callsOf = (arch: keyof typeof HEADERS): readonly (readonly [name: string, number: number])[] =>
  [...readFileSync(pathOf(arch), 'utf8').matchAll(/^#define __NR_(\w+) (\d+)$/gmu)].map(
    ([, name = '', number]) => [name, Number(number)] as const,
  );

const namesOf = (groups: readonly (readonly [string, string])[]): readonly string[] =>
  groups.flatMap(([, names]) => syscallNames(names));
const allowed = [...namesOf(ALLOWED_SYSCALLS), ...syscallNames(ARCH_SYSCALLS.x64)];
const denied = namesOf(DENIED_SYSCALLS);
const byCapability = namesOf(CAPABILITY_SYSCALLS);
/** Decided by their arguments, or with an answer of their own. */
const SPECIAL = ['socket', 'personality', 'clone', 'clone3', 'socketcall'];

test('no name is both allowed and denied', () => {
  const twice = denied.filter((name) => [...allowed, ...byCapability, ...SPECIAL].includes(name));
  expect([...twice, ...byCapability.filter((name) => allowed.includes(name))]).toEqual([]);
  expect(new Set(denied).size).toBe(denied.length);
});

unless(
  describe,
  existsSync(pathOf('x64')) ? undefined : "needs the kernel's headers: install Debian's linux-libc-dev",
)("the kernel's headers", () => {
  test.each(['x64', 'ia32'] as const)('have no call about which nothing is decided: %s', (arch) => {
    const known = KNOWN_NUMBERS[arch];
    const decided = new Set([...allowed, ...denied, ...byCapability, ...SPECIAL]);
    const calls = callsOf(arch).filter(([, number]) => number <= (known.at(-1)?.[1] ?? 0));
    expect(calls.length).toBeGreaterThan(300);
    expect(calls.filter(([name]) => !decided.has(name))).toEqual([]);
    const inRange = (number: number): boolean =>
      known.some(([first, last]) => number >= first && number <= last);
    expect(calls.filter(([name, number]) => !inRange(number) && name !== 'uretprobe')).toEqual([]);
  });

  test('have the numbers of newer calls', () => {
    const calls = new Map(callsOf('x64'));
    const there = NEWER_NUMBERS.filter(([name]) => calls.has(name));
    expect(there.map(([name]) => [name, calls.get(name)])).toEqual(there);
  });
});

test('the outer filter of a version stays as it is: containers of earlier releases rely on it', () => {
  const digest = createHash('sha256').update(outerFilter()).digest('hex');
  expect([OUTER_FILTER_VERSION, digest]).toEqual([
    1,
    '7a7b428232f381d59603f51b9df0c1d8d1abf1e6684cccce106e855885c77b03',
  ]);
});

describe('the short form', () => {
  const host = { arch: 'x64', refusedPrograms: ['x32'] } as const;

  test.each([
    ['x86-64 without x32', host, [], true],
    ['the default capabilities', host, ['CAP_SYS_CHROOT', 'CAP_NET_RAW'], true],
    ['a kernel that runs x32 programs', { ...host, refusedPrograms: [] }, [], false],
    ['arm64', { arch: 'arm64', refusedPrograms: ['x32'] }, [], false],
    ['CAP_SYS_ADMIN, whose calls libseccomp may not know', host, ['CAP_SYS_ADMIN'], false],
  ] as const)('%s', (_what, machine, capabilities, expected) =>
    expect(canBeShort(machine, capabilities)).toBe(expected),
  );

  test('a capability takes its calls off the list', () => {
    const namesWith = (...capabilities: readonly string[]): readonly string[] =>
      shortSeccomp(host, capabilities).syscalls[0]?.names ?? [];
    expect(namesWith()).toEqual(expect.arrayContaining(['chroot', 'mount', 'io_uring_setup']));
    expect(namesWith('CAP_SYS_CHROOT')).not.toContain('chroot');
    expect(namesWith('CAP_SYS_CHROOT')).toContain('mount');
    for (const name of allowed) expect(namesWith()).not.toContain(name);
  });

  test('no condition stands beside another on the same argument, which runc would turn into an alternative', () => {
    for (const { args } of shortSeccomp(host, []).syscalls) expect(args?.length ?? 1).toBe(1);
  });
});
