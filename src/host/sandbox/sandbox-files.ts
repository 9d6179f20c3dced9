/**
 * The files that all containers of a pod share: resolv.conf, hosts, hostname and /dev/shm. Containers can
 * write some of them, and the state directory is in the host's /run, which no pod may fill (S87). So they are
 * on a tmpfs of the pod, with a limit of bytes and of inodes (extended attributes count against the latter,
 * tmpfs(5)). Pages that a container writes are charged to its memory cgroup.
 */
import { rmdir } from 'node:fs/promises';
import { hostname as hostNameOfMachine } from 'node:os';
import { basename, dirname, join } from 'node:path';
import type { SandboxInput } from '../../ports/host.ts';
import type { DnsConfig, SandboxSpec } from '../../ports/specs.ts';
import type { SandboxId } from '../../base/ids.ts';
import { fail, toFault } from '../../base/fault.ts';
import { allSettled } from '../../base/settled.ts';
import { hostLimits } from '../bounds.ts';
import { readFileInRoot } from '../files/files.ts';
import type { Owner } from '../files/files.ts';
import type { Layout, SandboxFiles } from './layout.ts';
import { findMount, readMountInfo } from '../mounts/mountinfo.ts';
import { inPool } from '../ffi/pool.ts';
import { MOUNT_KEY, mountTmpfs, unmount } from '../mounts/mounts.ts';
import type { TmpfsRequest } from '../mounts/mounts.ts';
import {
  isInMemory,
  linkOwn,
  makeOwnDirectory,
  readOwnLink,
  setOwnOwner,
  writeOwnFile,
} from '../files/state-files.ts';

export interface SandboxFilesOptions {
  readonly layout: Layout;
  /** Copied when a pod names no DNS servers; usually /etc/resolv.conf. */
  readonly hostResolvConf: string;
  /** Copied for pods on the host's network; usually /etc/hosts. */
  readonly hostHosts: string;
}

/** The host name that the pod's processes see; the edge has checked the kernel's limit of 64 bytes. */
export function sandboxHostname({ id, spec }: SandboxInput): string {
  if (spec.namespaces.network === 'node') return hostNameOfMachine();
  return spec.hostname === '' ? id.slice(0, 12) : spec.hostname;
}

/**
 * Creates the three files and, where the pod has its own IPC namespace, its /dev/shm. The sandbox's directory
 * must exist. Repeatable.
 */
export async function makeSharedFiles(options: SandboxFilesOptions, input: SandboxInput): Promise<void> {
  const { id, spec } = input;
  await allSettled([
    makeEtc(options, input),
    spec.namespaces.ipc === 'pod' ? makeShm(options.layout.sandboxFiles(id).shm, spec) : Promise.resolve(),
  ]);
}

/**
 * The paths of the files themselves, for users that do not follow links: a shim that copies them into a
 * virtual machine would copy the links. Pods of versions before the tmpfs have files instead of links.
 */
export async function sourcesOf(layout: Layout, id: SandboxId): Promise<SandboxFiles> {
  const files = layout.sandboxFiles(id);
  const source = async (path: string): Promise<string> => {
    const target = await readOwnLink(path);
    return target === undefined ? path : join(dirname(path), target);
  };
  const [resolvConf, hosts, hostname] = await Promise.all([
    source(files.resolvConf),
    source(files.hosts),
    source(files.hostname),
  ]);
  return { ...files, resolvConf, hosts, hostname };
}

/** Unmounts them lazily: a container that still has a file open keeps it until it ends. Repeatable. */
export async function unmountSharedFiles(layout: Layout, id: SandboxId): Promise<void> {
  await allSettled(
    [layout.sandboxFiles(id).shm, layout.sandboxEtc(id)].map(async (path) => {
      await unmount(path, { lazy: true });
      // in the pool, though in memory: a runtime that starts has copies of the mount, which the kernel removes under
      // its lock of mounts (detach_mounts, fs/namespace.c). What stays fails the removal of the directory above
      await inPool(MOUNT_KEY, () => rmdir(path)).catch(() => undefined);
    }),
  );
}

async function makeEtc(options: SandboxFilesOptions, input: SandboxInput): Promise<void> {
  const { id, spec } = input;
  const files = options.layout.sandboxFiles(id);
  const [hosts, resolvConf] = await Promise.all([
    hostsFile(options, input),
    resolvConfFile(options, spec.dns),
  ]);
  const texts = [
    [files.hostname, `${sandboxHostname(input)}\n`],
    [files.hosts, hosts],
    [files.resolvConf, resolvConf],
  ] as const;
  const target = options.layout.sandboxEtc(id);
  const bytes = texts.reduce((sum, [, text]) => sum + Buffer.byteLength(text), 0);
  await mountOnce({
    target,
    source: 'etc',
    sizeBytes: bytes + hostLimits.sandboxFilesRoomBytes,
    inodes: hostLimits.sandboxFilesInodes,
    mode: 0o700,
    nosuid: true,
    nodev: true,
    noexec: true,
    label: spec.selinuxLabels?.mount,
  });
  const owner = podRoot(spec);
  await allSettled(
    texts.map(async ([path, text]) => {
      const file = join(target, basename(path));
      await writeOwnFile(file, text, 0o644);
      // as with the peers: to a container whose user namespace does not map the owner the files would be nobody's
      if (owner !== undefined) await setOwnOwner(file, owner);
      // the runtime's documents name these paths, which were files before the tmpfs existed
      await linkOwn(join(basename(target), basename(path)), path);
    }),
  );
}

/** The root of a pod's user namespace, which is another user on the host; undefined without such a namespace. */
export function podRoot({ namespaces: { user } }: SandboxSpec): Owner | undefined {
  return user === undefined ? undefined : { uid: user.uids.hostId, gid: user.gids.hostId };
}

async function makeShm(target: string, spec: SandboxSpec): Promise<void> {
  const owner = podRoot(spec);
  await mountOnce({
    target,
    source: 'shm',
    sizeBytes: hostLimits.shmBytes,
    inodes: hostLimits.shmInodes,
    mode: 0o1777,
    nosuid: true,
    nodev: true,
    noexec: true,
    label: spec.selinuxLabels?.mount,
    ...(owner === undefined ? {} : { owner }),
  });
}

async function mountOnce(request: TmpfsRequest): Promise<void> {
  // nothing can be mounted on a directory that was just created
  const isNew = await makeOwnDirectory(request.target, 0o700);
  if (!isNew && findMount(await readMountInfo(), request.target) !== undefined) return;
  await mountTmpfs({ ...request, isInMemory: isInMemory(request.target) });
}

/**
 * On the host's network the host's own file, as in containerd and CRI-O, since names mean the same there.
 * Otherwise, and when the host's file can't be copied, the pod's name points at loopback, since its address
 * is not known yet; the kubelet mounts its own file over it.
 */
async function hostsFile({ hostHosts }: SandboxFilesOptions, input: SandboxInput): Promise<string> {
  const hosts = input.spec.namespaces.network === 'node' ? await readHostFile(hostHosts).catch(() => '') : '';
  if (hosts !== '' && hosts.length <= hostLimits.hostsChars) return hosts;
  return `127.0.0.1\tlocalhost ${sandboxHostname(input)}\n::1\tlocalhost ip6-localhost ip6-loopback\n`;
}

async function resolvConfFile(
  { hostResolvConf }: SandboxFilesOptions,
  dns: DnsConfig | undefined,
): Promise<string> {
  if (dns === undefined) return readHostResolvConf(hostResolvConf);
  const lines = dns.servers.map((server) => `nameserver ${server}`);
  if (dns.searches.length > 0) lines.unshift(`search ${dns.searches.join(' ')}`);
  if (dns.options.length > 0) lines.push(`options ${dns.options.join(' ')}`);
  return lines.map((line) => `${line}\n`).join('');
}

async function readHostResolvConf(path: string): Promise<string> {
  const text = await readHostFile(path);
  return text.length > hostLimits.resolvConfChars
    ? fail('exhausted', `read ${path}: more than ${hostLimits.resolvConfChars} characters`)
    : text;
}

/**
 * Empty when it does not exist. Reads regular files only, since a FIFO or a device would block the start of a
 * pod for ever; follows links as the host's programs do.
 */
async function readHostFile(path: string): Promise<string> {
  const bytes = await readFileInRoot('/', path, { bytesMax: hostLimits.hostTextBytes });
  return bytes === undefined ? '' : Buffer.from(bytes).toString('utf8');
}

/** Problems of the host's files that pods get copies of: path → reason. */
export async function hostFileProblems(paths: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  for (const path of paths)
    await readHostFile(path).catch((error: unknown) => found.set(path, toFault(error).message));
  return found;
}
