/** What a runtime lists with `features` (OCI runtime spec, features.md), as far as a pod of ours can use it. */
import { jsonObject } from '../../../base/json-object.ts';
import { driverLimits } from '../bounds.ts';
import type { ProbeResult } from './handlers.ts';

/** Used by runc and crun (features.md, "Annotations"). */
export const CHECKPOINT_ANNOTATION = 'org.opencontainers.runc.checkpoint.enabled';

/** In `ProbeResult.features`: what the choice between handlers asks for by name. */
export const FEATURE = {
  checkpoints: 'checkpoints',
  cgroupV1: 'cgroup v1',
  cgroupV2: 'cgroup v2',
  cgroupSystemd: 'cgroup systemd',
} as const;

/** Those that are present or not: our word for them, and where they are. */
const SWITCHES: readonly (readonly [word: string, ...path: string[]])[] = [
  [FEATURE.cgroupV1, 'linux', 'cgroup', 'v1'],
  [FEATURE.cgroupV2, 'linux', 'cgroup', 'v2'],
  [FEATURE.cgroupSystemd, 'linux', 'cgroup', 'systemd'],
  ['idmapped mounts', 'linux', 'mountExtensions', 'idmap', 'enabled'],
  ['seccomp', 'linux', 'seccomp', 'enabled'],
  ['AppArmor', 'linux', 'apparmor', 'enabled'],
  ['SELinux', 'linux', 'selinux', 'enabled'],
  ['Intel RDT', 'linux', 'intelRdt', 'enabled'],
  ['network devices', 'linux', 'netDevices', 'enabled'],
];

/** Lists whose entries a profile, a hook file or an NRI plugin may name. */
const LISTS: readonly (readonly [word: string, ...path: string[]])[] = [
  ['hook', 'hooks'],
  ['seccomp action', 'linux', 'seccomp', 'actions'],
  ['seccomp operator', 'linux', 'seccomp', 'operators'],
  ['memory policy', 'linux', 'memoryPolicy', 'modes'],
  ['memory policy', 'linux', 'memoryPolicy', 'flags'],
];

/** A runtime without that verb, or with other output, has no features. */
export function parseFeatures(
  text: string,
): Pick<ProbeResult, 'recursiveReadOnlyMounts' | 'userNamespaces' | 'features'> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { recursiveReadOnlyMounts: false, userNamespaces: false, features: [] };
  }
  const recursiveReadOnlyMounts = words(value, 'mountOptions').includes('rro');
  const features = [
    ...(recursiveReadOnlyMounts ? ['recursive read-only mounts'] : []),
    ...SWITCHES.flatMap(([word, ...path]) => (at(value, ...path) === true ? [word] : [])),
    ...LISTS.flatMap(([word, ...path]) => words(value, ...path).map((one) => `${word} ${one}`)),
    ...(at(value, 'annotations', CHECKPOINT_ANNOTATION) === 'true' ? [FEATURE.checkpoints] : []),
  ];
  return { recursiveReadOnlyMounts, userNamespaces: features.includes('idmapped mounts'), features };
}

/** Annotation of runc's `features` (runc, features.go). */
const LIBSECCOMP_ANNOTATION = 'io.github.seccomp.libseccomp.version';

/** Whether runc's `features` names a libseccomp of this version or a later one; another form does not count. */
export function hasLibseccomp(text: string, oldest: readonly [number, number, number]): boolean {
  const said = at(jsonObject(text), 'annotations', LIBSECCOMP_ANNOTATION);
  const match = typeof said === 'string' ? /^(\d{1,4})\.(\d{1,4})\.(\d{1,4})$/u.exec(said) : null;
  if (match === null) return false;
  const found = match.slice(1).map(Number);
  const differs = oldest.findIndex((number, part) => number !== found[part]);
  return differs === -1 || (found[differs] ?? 0) > (oldest[differs] ?? 0);
}

/** The words of a list: what a program prints is recorded and shown, so only that many and in that form. */
function words(value: unknown, ...path: readonly string[]): readonly string[] {
  const list = at(value, ...path);
  if (!Array.isArray(list)) return [];
  return list
    .slice(0, driverLimits.featureWords)
    .filter((one): one is string => typeof one === 'string' && /^[\w-]{1,64}$/u.test(one));
}

function at(value: unknown, ...path: readonly string[]): unknown {
  return path.reduce((within, key) => {
    if (typeof within !== 'object' || within === null) return undefined;
    return Object.getOwnPropertyDescriptor(within, key)?.value as unknown;
  }, value);
}
