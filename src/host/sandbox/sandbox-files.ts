/**
 * What all containers of a pod are shown of ours: resolv.conf, hosts, hostname and /dev/shm. Containers write some of it, and
 * the state directory is the host's own /run, which no pod may fill (S87): so these files lie on a tmpfs of the pod's own, with
 * a bound of bytes and of inodes (extended attributes are taken from the latter, tmpfs(5)). Pages that a container writes are
 * charged to its memory cgroup.
 */
import { hostname as hostNameOfMachine } from 'node:os';
import { basename, dirname, join } from 'node:path';
import type { SandboxInput } from '../../ports/host.ts';
import type { DnsConfig, SandboxSpec } from '../../ports/specs.ts';
import type { SandboxId } from '../../base/ids.ts';
import { fail, toFault } from '../../base/fault.ts';
import { hostLimits } from '../bounds.ts';
import { readFileInRoot } from '../files/files.ts';
import type { Layout, SandboxFiles } from './layout.ts';
import { findMount, readMountInfo } from '../mounts/mountinfo.ts';
import { mountTmpfs, unmount } from '../mounts/mounts.ts';
import type { TmpfsRequest } from '../mounts/mounts.ts';
import { linkOwn, makeOwnDirectory, readOwnLink, writeOwnFile } from '../files/state-files.ts';

export interface SandboxFilesOptions {
  readonly layout: Layout;
  /** Copied where a pod names no DNS servers; usually /etc/resolv.conf. */
  readonly hostResolvConf: string;
  /** What pods on the host's network have; usually /etc/hosts. */
  readonly hostHosts: string;
}

/** The name that the pod's processes see; the kernel's bound of 64 bytes was checked at the edge. */
export function sandboxHostname({ id, spec }: SandboxInput): string {
  if (spec.namespaces.network === 'node') return hostNameOfMachine();
  return spec.hostname === '' ? id.slice(0, 12) : spec.hostname;
}

/** Makes the three files and, where the pod has its own IPC namespace, its /dev/shm. The sandbox's directory is there. Can be repeated. */
export async function makeSharedFiles(options: SandboxFilesOptions, input: SandboxInput): Promise<void> {
  const { id, spec } = input;
  await Promise.all([
    makeEtc(options, input),
    spec.namespaces.ipc === 'pod' ? makeShm(options.layout.sandboxFiles(id).shm, spec) : Promise.resolve(),
  ]);
}

/**
 * Where these files themselves lie, for whoever does not follow links: a shim that copies them into a virtual machine would bring
 * the links. Those of pods made before there was the tmpfs are no links.
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

/** Takes their mounts away; a container that still has one of them open keeps that one until it ends. Can be repeated. */
export async function unmountSharedFiles(layout: Layout, id: SandboxId): Promise<void> {
  await Promise.all(
    [layout.sandboxFiles(id).shm, layout.sandboxEtc(id)].map((path) => unmount(path, { lazy: true })),
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
  await Promise.all(
    texts.map(async ([path, text]) => {
      await writeOwnFile(join(target, basename(path)), text, 0o644);
      // the paths by which documents name them, as those of pods made before there was this tmpfs
      await linkOwn(join(basename(target), basename(path)), path);
    }),
  );
}

async function makeShm(target: string, { namespaces: { user }, selinuxLabels }: SandboxSpec): Promise<void> {
  await mountOnce({
    target,
    source: 'shm',
    sizeBytes: hostLimits.shmBytes,
    inodes: hostLimits.shmInodes,
    mode: 0o1777,
    nosuid: true,
    nodev: true,
    noexec: true,
    label: selinuxLabels?.mount,
    // in a user namespace its own root is not ours
    ...(user === undefined ? {} : { owner: { uid: user.uids.hostId, gid: user.gids.hostId } }),
  });
}

async function mountOnce(request: TmpfsRequest): Promise<void> {
  // on a directory that was made just now nothing is mounted
  const isNew = await makeOwnDirectory(request.target, 0o700);
  if (!isNew && findMount(await readMountInfo(), request.target) !== undefined) return;
  await mountTmpfs(request);
}

/**
 * The host's own on its network, as both peers have it: the same names mean the same there. Else, and where the host's
 * can't be copied, the name points at the loopback: the pod's address is not known yet. The kubelet mounts its own file over it.
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
 * Empty where there is none. A FIFO or a device in its place would hold the start of a pod for ever, so regular files
 * only; a link leads where it leads for the host's programs.
 */
async function readHostFile(path: string): Promise<string> {
  const bytes = await readFileInRoot('/', path, { bytesMax: hostLimits.hostTextBytes });
  return bytes === undefined ? '' : Buffer.from(bytes).toString('utf8');
}

/** What is wrong with the host's own files that pods get copies of: path → reason. */
export async function hostFileProblems(paths: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  for (const path of paths)
    await readHostFile(path).catch((error: unknown) => found.set(path, toFault(error).message));
  return found;
}
