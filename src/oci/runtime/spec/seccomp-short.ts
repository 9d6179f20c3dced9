/**
 * The short form of RuntimeDefault: the same profile as rules that deny, for a third of the names. libseccomp needs
 * some 20 µs for each name and architecture whenever a process starts (measured: README.md). Its default is to allow,
 * so it needs the filter of outer-filter.ts around it for socket(2) and the numbers that libseccomp does not know.
 */
import { ARCHITECTURES, CAPABILITY_SYSCALLS, NAMESPACE_FLAGS, PERSONALITIES } from './seccomp-default.ts';
import { DENIED_SYSCALLS, NEWER_NUMBERS } from './seccomp-denied.ts';
import type { SpecHost } from './input.ts';
import {
  SECCOMP_ALLOW,
  SECCOMP_DENY,
  SECCOMP_EPERM,
  clone3Rule,
  refusedArchitectures,
  syscallNames,
} from './seccomp.ts';
import type { OciSeccomp, SeccompArg, SeccompRule } from './types.ts';

/**
 * Whether the short form means the same with these capabilities in the bounding set: only on x86-64 without x32, and
 * with no capability that allows a call which libseccomp may not know.
 */
export function canBeShort(
  { arch, refusedPrograms }: Pick<SpecHost, 'arch' | 'refusedPrograms'>,
  capabilities: readonly string[],
): boolean {
  const newer = new Set(NEWER_NUMBERS.map(([name]) => name));
  return (
    arch === 'x64' &&
    refusedPrograms.includes('x32') &&
    CAPABILITY_SYSCALLS.every(
      ([capability, names]) =>
        !capabilities.includes(capability) || !syscallNames(names).some((name) => newer.has(name)),
    )
  );
}

/** RuntimeDefault in its short form; `canBeShort` must hold. */
export function shortSeccomp(
  { refusedPrograms }: Pick<SpecHost, 'refusedPrograms'>,
  capabilities: readonly string[],
): OciSeccomp {
  const granted = new Set(
    CAPABILITY_SYSCALLS.flatMap(([capability, names]) =>
      capabilities.includes(capability) ? syscallNames(names) : [],
    ),
  );
  const names = [...DENIED_SYSCALLS, ...CAPABILITY_SYSCALLS].flatMap(([, list]) => syscallNames(list));
  // decided by its arguments, and by its own rule
  const special = new Set(['clone', 'clone3']);
  const refused = refusedArchitectures({ refusedPrograms });
  return {
    defaultAction: SECCOMP_ALLOW,
    architectures: ARCHITECTURES.x64.filter((name) => !refused.has(name)),
    syscalls: [
      denied([...new Set(names)].filter((name) => !granted.has(name) && !special.has(name)).sort()),
      ...personalityRules(),
      ...namespaceRules(),
      clone3Rule,
    ],
  };
}

function denied(names: readonly string[], ...args: readonly SeccompArg[]): SeccompRule {
  return { names, action: SECCOMP_DENY, errnoRet: SECCOMP_EPERM, ...(args.length === 0 ? {} : { args }) };
}

/** One rule for each flag: a mask is compared as a whole, and any of them is refused. */
function namespaceRules(): SeccompRule[] {
  return bitsOf(NAMESPACE_FLAGS).map((bit) => denied(['clone'], masked(bit, bit)));
}

/**
 * The allowed values are the combinations of two bits, and all 32 bits set. Of the other 30 bits thus all must be set
 * or none: a value with some of them has one that is set before one that is not, in the order of a circle. With all
 * of them, both further bits must be set, too.
 */
function personalityRules(): SeccompRule[] {
  const query = 0xffffffffn;
  const free = PERSONALITIES.filter((value) => value !== query).reduce((all, value) => all | value, 0n);
  const others = bitsOf(query & ~free);
  return [
    denied(['personality'], { index: 0, value: query, op: 'SCMP_CMP_GT' }),
    ...others.map((bit, at) => {
      const next = others[(at + 1) % others.length] ?? 0n;
      return denied(['personality'], masked(bit | next, bit));
    }),
    // some of the two only, or none of them: one of the 30 says that all are set
    ...bitsOf(free).map((bit) => denied(['personality'], masked((others[0] ?? 0n) | bit, others[0] ?? 0n))),
  ];
}

/** libseccomp's MASKED_EQ: those of the mask's bits are set that `set` has, and no other of them. */
function masked(mask: bigint, set: bigint): SeccompArg {
  return { index: 0, value: mask, valueTwo: set, op: 'SCMP_CMP_MASKED_EQ' };
}

function bitsOf(mask: bigint): bigint[] {
  return Array.from({ length: 64 }, (_, at) => 1n << BigInt(at)).filter((bit) => (mask & bit) !== 0n);
}
