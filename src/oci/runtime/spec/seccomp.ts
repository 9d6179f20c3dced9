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
import { specLimits } from '../bounds.ts';
import type { KernelArch, SpecHost } from './input.ts';
import type { OciSeccomp, SeccompArg, SeccompRule } from './types.ts';

export const SECCOMP_EPERM = 1;
const ENOSYS = 38;
export const SECCOMP_ALLOW = 'SCMP_ACT_ALLOW';
export const SECCOMP_DENY = 'SCMP_ACT_ERRNO';
const PROGRAMS = { ia32: 'SCMP_ARCH_X86', x32: 'SCMP_ARCH_X32' } as const;

/** Its flags are in memory, which the filter cannot read; after ENOSYS every libc falls back to clone. */
export const clone3Rule: SeccompRule = { names: ['clone3'], action: SECCOMP_DENY, errnoRet: ENOSYS };

/** libseccomp's names of the architectures whose programs the kernel does not run. */
export function refusedArchitectures({
  refusedPrograms,
}: Pick<SpecHost, 'refusedPrograms'>): ReadonlySet<string> {
  return new Set<string>(refusedPrograms.map((kind) => PROGRAMS[kind]));
}

/** Profiles by what they depend on, at most `specLimits.seccompKept`: most pods of a node have the same. */
const kept = new Map<string, OciSeccomp>();

/** RuntimeDefault for a process with these capabilities in its bounding set; the same object for equal ones. */
export function defaultSeccomp(
  host: Pick<SpecHost, 'arch' | 'refusedPrograms'>,
  capabilities: readonly string[],
): OciSeccomp {
  const counted = CAPABILITY_SYSCALLS.map(([name]) => name).filter((name) => capabilities.includes(name));
  const key = [host.arch, ...host.refusedPrograms, '', ...counted].join(' ');
  const found = kept.get(key);
  if (found !== undefined) return found;
  if (kept.size >= specLimits.seccompKept) kept.clear();
  const made = makeDefault(host, counted);
  kept.set(key, made);
  return made;
}

function makeDefault(
  { arch, refusedPrograms }: Pick<SpecHost, 'arch' | 'refusedPrograms'>,
  capabilities: readonly string[],
): OciSeccomp {
  const names = new Set([
    ...ALLOWED_SYSCALLS.flatMap(([, list]) => syscallNames(list)),
    ...syscallNames(ARCH_SYSCALLS[arch]),
  ]);
  const refused = refusedArchitectures({ refusedPrograms });
  for (const [capability, list] of CAPABILITY_SYSCALLS) {
    if (capabilities.includes(capability)) for (const name of syscallNames(list)) names.add(name);
  }
  return {
    defaultAction: SECCOMP_DENY,
    defaultErrnoRet: SECCOMP_EPERM,
    // libseccomp adds all rules again for each; calls of one without rules end the thread with SIGSYS
    architectures: ARCHITECTURES[arch].filter((name) => !refused.has(name)),
    syscalls: [
      { names: [...names].sort(), action: SECCOMP_ALLOW },
      ...PERSONALITIES.map((value) => allowIf('personality', { index: 0, value, op: 'SCMP_CMP_EQ' })),
      ...socketRules(),
      ...(capabilities.includes('CAP_SYS_ADMIN') ? [] : cloneRules()),
    ],
  };
}

/** For the pause program, which needs little: part of RuntimeDefault, for 64-bit programs alone. */
export function pauseSeccomp(arch: KernelArch): OciSeccomp {
  return {
    defaultAction: SECCOMP_DENY,
    defaultErrnoRet: SECCOMP_EPERM,
    architectures: [ARCHITECTURES[arch][0]],
    syscalls: [{ names: [...syscallNames(PAUSE_SYSCALLS)].sort(), action: SECCOMP_ALLOW }, ...cloneRules()],
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
    clone3Rule,
  ];
}

function allowIf(name: string, arg: SeccompArg): SeccompRule {
  return { names: [name], action: SECCOMP_ALLOW, args: [arg] };
}

/** A list of names. */
export function syscallNames(list: string): readonly string[] {
  return list.split(/\s+/u).filter((word) => word !== '');
}
