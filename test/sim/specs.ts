/** Requests as a kubelet sends them: never the same twice under one name. */
import { NO_LIMITS } from '../../src/ports/resources.ts';
import type {
  ContainerKey,
  ContainerSpec,
  Namespaces,
  SandboxKey,
  SandboxSpec,
} from '../../src/ports/specs.ts';
import type { ImageId } from '../../src/base/ids.ts';

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
}

function namespaces(shape: PodShape): Namespaces {
  return {
    network: shape.hostNetwork ? 'node' : 'pod',
    pid: shape.sharedPid ? 'pod' : 'container',
    ipc: 'pod',
    targetId: undefined,
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
    handler: '',
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
      namespaces: namespaces(shape),
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
