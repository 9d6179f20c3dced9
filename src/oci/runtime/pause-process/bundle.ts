/**
 * The bundle of the pause container: a container of the runtime with a tiny program of ours, without image and
 * monitor.
 */
import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { PauseInput } from '../../../ports/runtime.ts';
import type { Resources } from '../../../ports/specs.ts';
import { readFileInRoot, writeFileInRoot } from '../../../host/files/files.ts';
import type { Layout } from '../../../host/sandbox/layout.ts';
import { pauseCgroup } from '../../../host/sandbox/layout.ts';
import { runtimeCgroupsPath } from '../../../host/cgroups/slices.ts';
import { pauseElf } from './elf.ts';
import { noCapabilities } from '../spec/capabilities.ts';
import { OCI_VERSION } from '../spec/generate.ts';
import { runtimeAnnotations } from '../spec/annotations.ts';
import type { SpecHandler, SpecHost, SpecPaths } from '../spec/input.ts';
import { DEFAULT_MASKED_PATHS, DEFAULT_READONLY_PATHS } from '../spec/masked.ts';
import { clampOomScoreAdj, guestHostname, openFilesLimit } from '../spec/process.ts';
import { pauseSeccomp } from '../spec/seccomp.ts';
import type { OciNamespace, OciSeccomp, OciSpec } from '../spec/types.ts';
import { checkMapped, idMappings, userNamespace } from '../spec/userns.ts';
import { pauseUser } from '../bundle/host/user.ts';

const PROGRAM = 'pause';
/**
 * Mount points for proc and a tmpfs. We make them, so that the runtime need not write to the shared root file system.
 */
const MOUNT_POINTS = ['proc', 'dev'];
/** Just above the value that excludes a process from the OOM killer, as in containerd and CRI-O. */
const OOM_SCORE_ADJ = -998;
/** The smallest share of CPU time (cgroup v1 cpu.shares): the program sleeps. */
const CPU_SHARES = 2n;

export interface PauseSpecInput extends PauseInput {
  readonly host: SpecHost;
  readonly rootfs: string;
  readonly pins: SpecPaths['pins'];
  /**
   * The profile that the pod names by file; without it one of our own, whatever the pod chose, since the program
   * needs next to nothing.
   */
  readonly seccomp?: OciSeccomp | undefined;
  /** Absent if no annotation may be passed on. */
  readonly handler?: SpecHandler;
}

/**
 * Generates config.json. The container joins the pod's pinned namespaces and creates the PID namespace that other
 * containers join.
 */
export function pauseSpec(input: PauseSpecInput): OciSpec {
  const { sandbox, host, pins } = input;
  const user = pauseUser(sandbox.user, sandbox.namespaces.user);
  checkMapped(user, sandbox.namespaces.user);
  return {
    ociVersion: OCI_VERSION,
    ...guestHostname(input.handler, { sandbox, sandboxId: input.id, host }),
    process: {
      terminal: false,
      user: { uid: user.uid, gid: user.gid, additionalGids: user.additionalGids },
      args: [`/${PROGRAM}`],
      // nothing of it is used, but youki runs no program without one
      env: ['PATH=/'],
      cwd: '/',
      capabilities: noCapabilities(),
      rlimits: openFilesLimit(host),
      noNewPrivileges: true,
      ...(sandbox.selinuxLabels === undefined ? {} : { selinuxLabel: sandbox.selinuxLabels.process }),
      oomScoreAdj: clampOomScoreAdj(OOM_SCORE_ADJ, host),
    },
    root: { path: input.rootfs, readonly: true },
    mounts: [
      // runc closes inherited descriptors through /proc/self/fd before it executes the program
      { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
      {
        destination: '/dev',
        type: 'tmpfs',
        source: 'tmpfs',
        options: ['nosuid', 'noexec', 'strictatime', 'mode=755', 'size=64k'],
      },
    ],
    annotations: pauseAnnotations(input),
    linux: {
      namespaces: pauseNamespaces(pins),
      ...idMappings(sandbox.namespaces.user),
      devices: [],
      ...(sandbox.selinuxLabels === undefined ? {} : { mountLabel: sandbox.selinuxLabels.mount }),
      cgroupsPath: runtimeCgroupsPath(pauseCgroup(sandbox.cgroupParent, input.id)),
      resources: { devices: [{ allow: false, access: 'rwm' }], cpu: { shares: CPU_SHARES } },
      seccomp: input.seccomp ?? pauseSeccomp(host.arch),
      maskedPaths: DEFAULT_MASKED_PATHS,
      readonlyPaths: DEFAULT_READONLY_PATHS,
    },
  };
}

/** New namespaces for mounts and processes; the others are the pod's. */
function pauseNamespaces(pins: SpecPaths['pins']): readonly OciNamespace[] {
  const pinned = (type: 'network' | 'ipc' | 'uts', path: string | undefined): readonly OciNamespace[] =>
    path === undefined ? [] : [{ type, path }];
  return [
    { type: 'mount' },
    ...userNamespace(pins),
    { type: 'pid' },
    ...pinned('network', pins.net),
    ...pinned('ipc', pins.ipc),
    ...pinned('uts', pins.uts),
  ];
}

/** Annotations by which runtimes and hooks recognize a sandbox, with containerd's and CRI-O's names. */
function pauseAnnotations({ id, sandbox, handler }: PauseSpecInput): Readonly<Record<string, string>> {
  return {
    ...(handler === undefined ? {} : runtimeAnnotations(handler, sandbox.annotations)),
    'io.kubernetes.cri.container-type': 'sandbox',
    'io.kubernetes.cri.sandbox-id': id,
    'io.kubernetes.cri.sandbox-name': sandbox.key.name,
    'io.kubernetes.cri.sandbox-namespace': sandbox.key.namespace,
    'io.kubernetes.cri.sandbox-uid': sandbox.key.uid,
    'io.kubernetes.cri-o.ContainerType': 'sandbox',
    'io.kubernetes.cri-o.SandboxID': id,
    ...sizeAnnotations(sandbox.resources),
  };
}

/** Annotations by which Kata sizes a virtual machine before its first container is known (containerd's names). */
function sizeAnnotations(resources: Resources | undefined): Readonly<Record<string, string>> {
  if (resources === undefined) return {};
  const { cpuPeriod, cpuQuota, cpuShares, memoryLimitBytes } = resources;
  const said = {
    'cpu-period': cpuPeriod,
    'cpu-quota': cpuQuota,
    'cpu-shares': cpuShares,
    memory: memoryLimitBytes,
  };
  return Object.fromEntries(
    Object.entries(said).flatMap(([name, value]) =>
      value === undefined ? [] : [[`io.kubernetes.cri.sandbox-${name}`, String(value)]],
    ),
  );
}

/** Makes the root file system that all pause containers share, if it is missing or different. */
export async function makePauseRootfs(layout: Layout, host: SpecHost): Promise<void> {
  const root = layout.pauseRootfs;
  const program = pauseElf(host.arch);
  for (const name of ['', ...MOUNT_POINTS]) {
    await mkdir(join(root, name), { recursive: true, mode: 0o755 });
    // independent of the umask: the program runs as a user that must be able to enter
    await chmod(join(root, name), 0o755);
  }
  // A program of another version is replaced by rename; running ones keep theirs. The limit exceeds the program's
  // size, so that a longer file differs.
  const there = await readFileInRoot(root, PROGRAM, { bytesMax: 64 * 1024 }).catch(() => undefined);
  if (there === undefined || Buffer.compare(there, program) !== 0) {
    await writeFileInRoot(root, PROGRAM, program, { mode: 0o555 });
  }
}
