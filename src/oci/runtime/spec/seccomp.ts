/** The built-in seccomp profile for config.json, resolved for a set of capabilities. */
import {
  ALLOWED_SYSCALLS,
  ARCHITECTURES,
  ARCH_SYSCALLS,
  CAPABILITY_SYSCALLS,
  FIRST_DENIED_FAMILY,
  HIGHER_FAMILIES,
  NAMESPACE_FLAGS,
  PAUSE_SYSCALLS,
  PERSONALITIES,
} from './seccomp-default.ts';
import type { KernelArch, SpecHost } from './input.ts';
import type { OciSeccomp, SeccompArg, SeccompRule } from './types.ts';

const EPERM = 1;
const ENOSYS = 38;
const ALLOW = 'SCMP_ACT_ALLOW';
const DENY = 'SCMP_ACT_ERRNO';
const PROGRAMS = { ia32: 'SCMP_ARCH_X86', x32: 'SCMP_ARCH_X32' } as const;

/** RuntimeDefault for a process with these capabilities in its bounding set. */
export function defaultSeccomp(
  { arch, refusedPrograms }: Pick<SpecHost, 'arch' | 'refusedPrograms'>,
  capabilities: readonly string[],
): OciSeccomp {
  const names = new Set([
    ...ALLOWED_SYSCALLS.flatMap(([, list]) => words(list)),
    ...words(ARCH_SYSCALLS[arch]),
  ]);
  const refused = new Set<string>(refusedPrograms.map((kind) => PROGRAMS[kind]));
  for (const [capability, list] of CAPABILITY_SYSCALLS) {
    if (capabilities.includes(capability)) for (const name of words(list)) names.add(name);
  }
  return {
    defaultAction: DENY,
    defaultErrnoRet: EPERM,
    // libseccomp adds all rules again for each; calls of one without rules end the thread with SIGSYS
    architectures: ARCHITECTURES[arch].filter((name) => !refused.has(name)),
    syscalls: [
      { names: [...names].sort(), action: ALLOW },
      ...PERSONALITIES.map((value) => allowIf('personality', { index: 0, value, op: 'SCMP_CMP_EQ' })),
      ...socketRules(),
      ...(capabilities.includes('CAP_SYS_ADMIN') ? [] : cloneRules()),
    ],
  };
}

/** For the pause program, which needs little: part of RuntimeDefault, for 64-bit programs alone. */
export function pauseSeccomp(arch: KernelArch): OciSeccomp {
  return {
    defaultAction: DENY,
    defaultErrnoRet: EPERM,
    architectures: [ARCHITECTURES[arch][0]],
    syscalls: [{ names: [...words(PAUSE_SYSCALLS)].sort(), action: ALLOW }, ...cloneRules()],
  };
}

function socketRules(): SeccompRule[] {
  return [
    allowIf('socket', { index: 0, value: FIRST_DENIED_FAMILY, op: 'SCMP_CMP_LT' }),
    ...HIGHER_FAMILIES.map((value) => allowIf('socket', { index: 0, value, op: 'SCMP_CMP_EQ' })),
  ];
}

function cloneRules(): SeccompRule[] {
  return [
    allowIf('clone', { index: 0, value: NAMESPACE_FLAGS, valueTwo: 0n, op: 'SCMP_CMP_MASKED_EQ' }),
    // its flags are in memory, which the filter cannot read; after ENOSYS every libc falls back to clone
    { names: ['clone3'], action: DENY, errnoRet: ENOSYS },
  ];
}

function allowIf(name: string, arg: SeccompArg): SeccompRule {
  return { names: [name], action: ALLOW, args: [arg] };
}

function words(list: string): readonly string[] {
  return list.split(/\s+/u).filter((word) => word !== '');
}
