/** Requests as a kubelet sends them: never the same twice under one name. */
import { NO_LIMITS } from '../../src/ports/resources.ts';
import type {
  ContainerKey,
  ContainerSpec,
  Mount,
  Namespaces,
  SandboxKey,
  SandboxSpec,
} from '../../src/ports/specs.ts';
import type { ContainerId, ImageId } from '../../src/base/ids.ts';

const USER = {
  runAsUser: undefined,
  runAsUsername: '',
  runAsGroup: undefined,
  supplementalGroups: [],
  supplementalGroupsPolicy: 'merge',
} as const;
const SECCOMP = { type: 'runtimeDefault', path: '' } as const;

export interface PodShape {
  readonly sharedPid: boolean;
  readonly hostNetwork: boolean;
  /** Absent: the default one. */
  readonly handler?: string;
  readonly hasUserNamespace?: boolean;
}

const IDS = { containerId: 0, hostId: 100_000, length: 65_536 } as const;

/** What a container has of others. */
export interface Borrowed {
  /** The container whose PID namespace it joins. */
  readonly targetId?: ContainerId | undefined;
  /** An image that it mounts. */
  readonly volume?: ImageId | undefined;
}

function namespaces(shape: PodShape, targetId?: ContainerId): Namespaces {
  return {
    network: shape.hostNetwork ? 'node' : 'pod',
    pid: targetId !== undefined ? 'target' : shape.sharedPid ? 'pod' : 'container',
    ipc: 'pod',
    ...(shape.hasUserNamespace === true ? { user: { uids: IDS, gids: IDS } } : {}),
    targetId,
  };
}

/** A sandbox; `fresh` goes into an annotation, as things that change between two tries do. */
export function sandboxSpec(key: SandboxKey, shape: PodShape, fresh: string): SandboxSpec {
  return {
    key,
    hostname: '',
    logDirectory: '',
    dns: undefined,
    portMappings: [],
    labels: {},
    annotations: { fresh },
    handler: shape.handler ?? '',
    cgroupParent: '',
    sysctls: [],
    namespaces: namespaces(shape),
    privileged: false,
    user: USER,
    readonlyRootfs: false,
    seccomp: SECCOMP,
  };
}

/** A container; `fresh` names its termination log on the host and goes into an annotation. */
export function containerSpec(
  key: ContainerKey,
  shape: PodShape,
  imageId: ImageId,
  fresh: string,
  { targetId, volume }: Borrowed = {},
): ContainerSpec {
  return {
    key,
    imageRequested: imageId,
    imageUserSpecified: '',
    imageId,
    command: [],
    args: [],
    workingDir: '',
    env: [],
    devices: [],
    mounts: [
      {
        containerPath: '/dev/termination-log',
        hostPath: `/kubelet/${fresh}`,
        readonly: false,
        recursiveReadOnly: false,
        propagation: 'private',
        selinuxRelabel: false,
      },
      ...(volume === undefined ? [] : [imageMount(volume)]),
    ],
    labels: {},
    annotations: { fresh },
    logPath: '',
    stdin: false,
    stdinOnce: false,
    tty: false,
    resources: NO_LIMITS,
    security: {
      privileged: false,
      capabilities: { add: [], drop: [], addAmbient: [] },
      namespaces: namespaces(shape, targetId),
      user: USER,
      readonlyRootfs: false,
      noNewPrivs: true,
      maskedPaths: [],
      readonlyPaths: [],
      seccomp: SECCOMP,
      apparmorProfile: '',
    },
    stopSignal: '',
  };
}

function imageMount(id: ImageId): Mount {
  return {
    containerPath: '/image',
    hostPath: '',
    readonly: true,
    recursiveReadOnly: false,
    propagation: 'private',
    selinuxRelabel: false,
    image: { id, subPath: '' },
  };
}
