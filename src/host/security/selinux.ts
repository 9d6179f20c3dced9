/** SELinux: whether it is enabled, the policy's labels for containers, and relabelling of files. */
import { closeSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { posix } from 'node:path';
import type { SelinuxLabels } from '../../ports/specs.ts';
import { fail, printable } from '../../base/fault.ts';
import { hostLimits } from '../bounds.ts';
import { entriesOf } from '../files/entries-of.ts';
import { codeOf, errnoName, must } from '../ffi/errno.ts';
import { AT_FDCWD, O_CLOEXEC, O_DIRECTORY, O_NOFOLLOW, O_RDONLY } from '../ffi/constants.ts';
import { libc } from '../ffi/ffi.ts';
import { callInPool } from '../ffi/pool.ts';

const SELINUXFS = '/sys/fs/selinux';
const CONFIG = '/etc/selinux/config';
const XATTR = 'security.selinux';

/** container-selinux's labels for processes and their files; used when the policy names none. */
export const USUAL_LABELS: SelinuxLabels = {
  process: 'system_u:system_r:container_t:s0',
  mount: 'system_u:object_r:container_file_t:s0',
};

/** Whether a policy is loaded, enforcing or permissive (selinux(8)). */
export async function selinuxIsEnabled(): Promise<boolean> {
  return (await readFile(`${SELINUXFS}/enforce`, 'utf8').catch(() => '')) !== '';
}

/** The policy's labels for containers (lxc_contexts of libselinux), or the default ones. */
export async function policyLabels(): Promise<SelinuxLabels> {
  const config = await readFile(CONFIG, 'utf8').catch(() => '');
  const policy = /^\s*SELINUXTYPE\s*=\s*([A-Za-z0-9_-]+)\s*$/mu.exec(config)?.[1];
  if (policy === undefined) return USUAL_LABELS;
  return parseContexts(
    await readFile(`/etc/selinux/${policy}/contexts/lxc_contexts`, 'utf8').catch(() => ''),
  );
}

/** Lines such as `process = "system_u:system_r:container_t:s0"`. Pure. */
export function parseContexts(text: string): SelinuxLabels {
  const named = (name: string): string | undefined =>
    new RegExp(`^\\s*${name}\\s*=\\s*"?([^"\\s]+)"?\\s*$`, 'mu').exec(text)?.[1];
  return { process: named('process') ?? USUAL_LABELS.process, mount: named('file') ?? USUAL_LABELS.mount };
}

/** The label of privileged containers' processes by that of others: `spc_t`, unconfined, at the lowest level. Pure. */
export function privilegedOf(process: string): string {
  const [user, role, , sensitivity] = process.split(':');
  return [user, role, 'spc_t', sensitivity].join(':');
}

/** Whether the loaded policy accepts this label: the kernel checks it (security_check_context(3)). */
export async function isValidLabel(label: string): Promise<boolean> {
  try {
    await writeFile(`${SELINUXFS}/context`, `${label}\0`);
    return true;
  } catch (error) {
    if (['EINVAL', 'ERANGE'].includes(codeOf(error) ?? '')) return false;
    throw error;
  }
}

const below = (root: string, names: string): readonly string[] =>
  names.split(' ').map((name) => `${root}/${name}`);

/**
 * Directories that the whole host shares, and files of its accounts: with a pod's label on them the machine
 * would no longer boot.
 */
const NEVER: ReadonlySet<string> = new Set([
  '/',
  ...below('', 'etc home media mnt opt root run srv tmp var'),
  ...below(
    '/etc',
    'passwd group shadow gshadow subuid subgid sudoers sudoers.d hosts hostname resolv.conf fstab crypttab machine-id',
  ),
  ...below('/etc', 'pam.d security systemd cni kubernetes containers'),
  ...below(
    '/var',
    'cache lib log run spool tmp lib/kubelet lib/containers lib/containerd lib/etcd log/pods log/containers',
  ),
]);

/** Programs, devices and keys: neither these directories nor anything in them. */
const NEVER_BELOW: readonly string[] = [
  ...below('', 'usr bin sbin lib lib32 lib64 libx32 boot efi dev proc sys'),
  ...below('/etc', 'pki ssl ssh selinux ca-certificates'),
];

/** A whole home directory holds its owner's keys. */
const HOME = /^\/home\/[^/]+$/u;

/** Whether a path (without links) belongs to the host so that its labels must not change for a container. */
export function isSystemPath(path: string): boolean {
  const clean = posix.join('/', path).replace(/(?<=.)\/$/u, '');
  return (
    NEVER.has(clean) ||
    HOME.test(clean) ||
    NEVER_BELOW.some((root) => clean === root || clean.startsWith(`${root}/`))
  );
}

/**
 * Labels a volume and everything in it. Each step goes from a directory's descriptor to one name in it, and
 * links are labelled, never followed: whoever can write there can't redirect it (S33, S54). Throws
 * `invalidRequest` for a directory of the host; stops when the signal aborts. `mount` is the mount point of
 * the volume: a file system that no longer answers blocks only its share of threads, however many of its
 * volumes are relabelled (F45).
 */
export async function relabel(
  path: string,
  label: string,
  signal: AbortSignal,
  mount: string,
): Promise<void> {
  if (isSystemPath(path))
    fail('invalidRequest', `relabel ${path}: used by the host itself`, {
      subject: 'mounts.selinux_relabel',
    });
  signal.throwIfAborted();
  const directory = await openDirectory(AT_FDCWD, path, mount);
  if (directory === undefined) return set(path, label, mount);
  // the last component is not followed; the dot is the directory itself
  return withDirectory(directory, async () => {
    await set(`/proc/self/fd/${directory}/.`, label, mount);
    await labelBelow({ directory, path, depth: 0 }, { label, signal, mount });
  });
}

interface Labelling {
  readonly label: string;
  readonly signal: AbortSignal;
  readonly mount: string;
}

interface Below {
  readonly directory: number;
  /** Path of the directory, for messages. */
  readonly path: string;
  readonly depth: number;
}

async function labelBelow({ directory, path, depth }: Below, labelling: Labelling): Promise<void> {
  const { label, signal, mount } = labelling;
  if (depth > hostLimits.pathComponents)
    fail('invalidRequest', `relabel ${path}: more than ${hostLimits.pathComponents} levels deep`, {
      subject: 'mounts.selinux_relabel',
    });
  const at = `/proc/self/fd/${directory}`;
  for await (const entry of entriesOf(at, { key: mount, atOnce: hostLimits.labelledAtOnce })) {
    signal.throwIfAborted();
    const { name } = entry;
    await set(Buffer.concat([Buffer.from(`${at}/`), name]), label, mount);
    if (!entry.isDirectory()) continue;
    const child = await openDirectory(directory, Buffer.concat([name, Buffer.alloc(1)]), mount);
    // removed or replaced meanwhile: new entries of a labelled directory get its label
    if (child === undefined) continue;
    await withDirectory(child, () =>
      labelBelow({ directory: child, path: `${path}/${name.toString()}`, depth: depth + 1 }, labelling),
    );
  }
}

/** Undefined when it is not a directory or no longer exists; `mount` names what the call may hang on. */
async function openDirectory(
  parent: number,
  name: string | Uint8Array,
  mount: string,
): Promise<number | undefined> {
  const opened = await callInPool(
    mount,
    libc.openat,
    parent,
    name,
    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
    0,
  );
  if (opened.result === -1 && ['ENOENT', 'ENOTDIR', 'ELOOP'].includes(errnoName(opened.errno)))
    return undefined;
  return must(opened, 'open directory', shown(name));
}

async function withDirectory(fd: number, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } finally {
    closeSync(fd);
  }
}

async function set(path: string | Buffer, label: string, mount: string): Promise<void> {
  const value = Buffer.from(`${label}\0`);
  const done = await callInPool(
    mount,
    libc.lsetxattr,
    Buffer.concat([Buffer.from(path), Buffer.alloc(1)]),
    XATTR,
    value,
    value.length,
    0,
  );
  // EOPNOTSUPP: the file system has no labels; ENOENT: the file is gone
  if (done.result === 0 || ['EOPNOTSUPP', 'ENOENT'].includes(errnoName(done.errno))) return;
  must(done, 'label', shown(path));
}

/** A path or name for messages: whoever writes in a volume chooses its bytes. A final NUL is dropped. */
function shown(name: string | Uint8Array): string {
  return printable(Buffer.from(name).toString().replace(/\0$/u, ''));
}
