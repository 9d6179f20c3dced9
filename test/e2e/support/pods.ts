// Sandboxes and containers as a kubelet asks for them, kept to what every pod has.
import { readFile } from 'node:fs/promises';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { expect } from 'vitest';
import type { CriClient } from '../../../scripts/support/cri-client.ts';
import {
  type ContainerConfigSchema,
  NamespaceMode,
  type PodSandboxConfigSchema,
} from '../../../src/gen/runtime/v1/api_pb.ts';

export type SandboxConfig = MessageInitShape<typeof PodSandboxConfigSchema>;
export type ContainerConfig = MessageInitShape<typeof ContainerConfigSchema>;

export interface SandboxRequest {
  readonly name: string;
  /** Host directory of the containers' logs. */
  readonly logDirectory: string;
  readonly attempt?: number;
  readonly hostNetwork?: boolean;
  readonly hostIpc?: boolean;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly cgroupParent?: string;
}

/** A sandbox; its uid follows from its name, so that a second request under the same name is the same pod. */
export function sandboxConfig(request: SandboxRequest): SandboxConfig {
  const isHost = request.hostNetwork === true;
  return {
    metadata: {
      name: request.name,
      namespace: 'default',
      uid: `uid-${request.name}`,
      attempt: request.attempt ?? 0,
    },
    hostname: isHost ? '' : request.name,
    logDirectory: request.logDirectory,
    dnsConfig: { servers: ['10.0.0.10'], searches: ['default.svc.cluster.local'], options: ['ndots:5'] },
    labels: {
      'io.kubernetes.pod.name': request.name,
      'io.kubernetes.pod.namespace': 'default',
      'io.kubernetes.pod.uid': `uid-${request.name}`,
    },
    annotations: { 'kubernetes.io/config.source': 'api', ...request.annotations },
    linux: {
      ...(request.cgroupParent === undefined ? {} : { cgroupParent: request.cgroupParent }),
      securityContext: {
        namespaceOptions: {
          network: isHost ? NamespaceMode.NODE : NamespaceMode.POD,
          pid: NamespaceMode.CONTAINER,
          ipc: request.hostIpc === true ? NamespaceMode.NODE : NamespaceMode.POD,
        },
      },
    },
  };
}

export interface ContainerRequest {
  readonly name: string;
  /** What ImageStatus or PullImage answered. */
  readonly image: string;
  /** The name in the pod's spec. */
  readonly imageName?: string;
  readonly command: readonly string[];
  /** Left out: none of 2 MiB, as the kubelet says. CRI-O fails at them where cgroups are mixed. */
  readonly hugepageLimits?: readonly { readonly pageSize: string; readonly limit: bigint }[];
  readonly attempt?: number;
  readonly hostNetwork?: boolean;
  readonly annotations?: Readonly<Record<string, string>>;
  /** Host file of the termination log: a kubelet names a new one with every try. */
  readonly terminationLog?: string;
}

/** A container of such a sandbox. Its log is `<name>/<attempt>.log`, as the kubelet's. */
export function containerConfig(request: ContainerRequest): ContainerConfig {
  const attempt = request.attempt ?? 0;
  return {
    metadata: { name: request.name, attempt },
    image: { image: request.image, userSpecifiedImage: request.imageName ?? '' },
    command: [...request.command],
    labels: { 'io.kubernetes.container.name': request.name },
    annotations: {
      'io.kubernetes.container.terminationMessagePath': '/dev/termination-log',
      ...request.annotations,
    },
    mounts:
      request.terminationLog === undefined
        ? []
        : [{ containerPath: '/dev/termination-log', hostPath: request.terminationLog }],
    logPath: `${request.name}/${attempt}.log`,
    linux: {
      resources: {
        cpuShares: 2n,
        oomScoreAdj: 1000n,
        hugepageLimits: [...(request.hugepageLimits ?? [{ pageSize: '2MB', limit: 0n }])],
      },
      securityContext: {
        namespaceOptions: {
          network: request.hostNetwork === true ? NamespaceMode.NODE : NamespaceMode.POD,
          pid: NamespaceMode.CONTAINER,
          ipc: NamespaceMode.POD,
        },
        maskedPaths: ['/proc/kcore', '/proc/keys', '/sys/firmware'],
        readonlyPaths: ['/proc/sys', '/proc/sysrq-trigger'],
      },
    },
  };
}

/** Runs until SIGTERM, then ends at once with this code. */
export const untilTermed = (exitCode: number): string[] => [
  'sh',
  '-c',
  `trap "exit ${exitCode}" TERM; echo up; while :; do sleep 3600 & wait $!; done`,
];

/**
 * Starts a container with `untilTermed`, and waits for its trap: a signal before that is lost, or ends it with another
 * code.
 */
export async function startUntilUp(
  { runtime }: Pick<CriClient, 'runtime'>,
  containerId: string,
): Promise<void> {
  await runtime.startContainer({ containerId });
  const { status } = await runtime.containerStatus({ containerId });
  await expect.poll(() => readFile(status?.logPath ?? '', 'utf8').catch(() => '')).toContain('up');
}
