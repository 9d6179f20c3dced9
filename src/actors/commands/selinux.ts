/**
 * SELinux labels of pods and containers: the machine's default labels, with the parts that a request names. Each pod
 * gets two categories that no other pod has, so that pods of the same type cannot read each other's files (MCS). Pure.
 */
import type { ContainerSpec, SandboxSpec, SelinuxLabels, SelinuxOptions } from '../../ports/specs.ts';

/** Every policy in use has the categories c0 to c1023 (setrans.conf(5)). */
const CATEGORIES = 1024;
const PAIRS = (CATEGORIES * (CATEGORIES - 1)) / 2;

interface Parts {
  readonly user: string;
  readonly role: string;
  readonly type: string;
  readonly level: string;
}

/** Splits `user:role:type:level`; the level may contain colons. */
function partsOf(label: string): Parts {
  const [user = '', role = '', type = '', ...level] = label.split(':');
  return { user, role, type, level: level.join(':') };
}

function labelOf({ user, role, type, level }: Parts): string {
  return [user, role, type, level].join(':');
}

/** The level of a label, such as `s0:c1,c2`. */
export function levelOf(label: string): string {
  return partsOf(label).level;
}

/** The n-th pair of categories; n counts from 0 and wraps around. */
export function categoryPair(n: number): string {
  let rest = n % PAIRS;
  let low = 0;
  while (rest >= CATEGORIES - 1 - low) {
    rest -= CATEGORIES - 1 - low;
    low += 1;
  }
  return `c${low},c${low + 1 + rest}`;
}

/** A level that is not in `taken`: the sensitivity of `base` with the first free pair, searched from pair `start`. */
export function freeLevel(base: string, taken: ReadonlySet<string>, start: number): string {
  const sensitivity = base.split(':', 1)[0] ?? '';
  for (let at = start; at < start + PAIRS; at += 1) {
    const level = `${sensitivity}:${categoryPair(at)}`;
    if (!taken.has(level)) return level;
  }
  // no machine has as many pods as there are pairs; if one did, two pods would share a level
  return `${sensitivity}:${categoryPair(start)}`;
}

/**
 * The labels of a pod; undefined for a pod that shares the host's PID or IPC namespace, where a label of its own would
 * keep it from working (containerd and CRI-O do the same). `free` returns an unused level for a pod that names none.
 */
export function podLabels(
  { selinux, namespaces }: Pick<SandboxSpec, 'selinux' | 'namespaces'>,
  defaults: SelinuxLabels,
  free: (base: string) => string,
): SelinuxLabels | undefined {
  if (namespaces.pid === 'node' || namespaces.ipc === 'node') return undefined;
  const own = levelOf(defaults.process);
  const level = selinux === undefined || selinux.level === '' ? free(own) : selinux.level;
  return withParts(defaults, { ...(selinux ?? NO_OPTIONS), level });
}

const NO_OPTIONS: SelinuxOptions = { user: '', role: '', type: '', level: '' };

/**
 * The labels of a container: its pod's, with the parts that it names. A privileged one has the machine's label for such
 * processes: by itself the policy gives it to files of its own types only, and images may lie anywhere. Undefined where
 * it runs unconfined.
 */
export function containerLabels(
  { security, selinux }: Pick<ContainerSpec, 'security' | 'selinux'>,
  pod: SelinuxLabels | undefined,
  privileged: string | undefined,
): SelinuxLabels | undefined {
  if (pod === undefined || security.namespaces.pid === 'node') return undefined;
  if (security.privileged) return privileged === undefined ? undefined : { ...pod, process: privileged };
  return selinux === undefined ? pod : withParts(pod, selinux);
}

/** Files get the user and level of the process and keep their own role and type (libselinux, selinux_raw_context). */
function withParts(labels: SelinuxLabels, asked: SelinuxOptions): SelinuxLabels {
  const [process, mount] = [partsOf(labels.process), partsOf(labels.mount)];
  return {
    process: labelOf({
      user: asked.user || process.user,
      role: asked.role || process.role,
      type: asked.type || process.type,
      level: asked.level || process.level,
    }),
    mount: labelOf({ ...mount, user: asked.user || mount.user, level: asked.level || mount.level }),
  };
}
