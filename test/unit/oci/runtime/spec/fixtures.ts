/** A plain pod with a plain container, from which each test changes what it is about. */
import { NO_LIMITS } from '../../../../../src/ports/resources.ts';
import type {
  ContainerSecurity,
  ContainerSpec,
  ImageConfig,
  Mount,
  SandboxSpec,
} from '../../../../../src/ports/specs.ts';
import { parseContainerId, parseImageId, parseSandboxId } from '../../../../../src/base/ids.ts';
import { containerCgroup, createLayout } from '../../../../../src/host/sandbox/layout.ts';
import { CAPABILITY_NAMES } from '../../../../../src/oci/runtime/spec/capabilities.ts';
import type { ResolvedUser, SpecHost, SpecInput } from '../../../../../src/oci/runtime/spec/input.ts';

function must<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('a fixture does not parse');
  return value;
}

export const SANDBOX_ID = must(parseSandboxId('5'.repeat(64)));
export const CONTAINER_ID = must(parseContainerId('c'.repeat(64)));
const IMAGE_ID = must(parseImageId(`sha256:${'1'.repeat(64)}`));

const image: ImageConfig = {
  user: '',
  env: ['PATH=/usr/bin:/bin', 'LANG=C.UTF-8'],
  entrypoint: ['/entry'],
  cmd: ['serve'],
  workingDir: '/srv',
  stopSignal: '',
  volumes: [],
  labels: {},
  architecture: 'amd64',
  os: 'linux',
};

export const sandbox: SandboxSpec = {
  key: { name: 'web', namespace: 'shop', uid: 'uid-1', attempt: 0 },
  hostname: 'web-0',
  logDirectory: '/var/log/pods/shop_web_uid-1',
  dns: undefined,
  portMappings: [],
  labels: {},
  annotations: {},
  handler: '',
  cgroupParent: '/kubepods/pod1',
  sysctls: [],
  namespaces: { network: 'pod', pid: 'container', ipc: 'pod', targetId: undefined },
  privileged: false,
  user: {
    runAsUser: undefined,
    runAsUsername: '',
    runAsGroup: undefined,
    supplementalGroups: [],
    supplementalGroupsPolicy: 'merge',
  },
  readonlyRootfs: false,
  seccomp: { type: 'runtimeDefault', path: '' },
};

const security: ContainerSecurity = {
  privileged: false,
  capabilities: { add: [], drop: [], addAmbient: [] },
  namespaces: { network: 'pod', pid: 'container', ipc: 'pod', targetId: undefined },
  user: {
    runAsUser: undefined,
    runAsUsername: '',
    runAsGroup: undefined,
    supplementalGroups: [],
    supplementalGroupsPolicy: 'merge',
  },
  readonlyRootfs: false,
  noNewPrivs: true,
  maskedPaths: ['/proc/kcore', '/sys/firmware'],
  readonlyPaths: ['/proc/sys'],
  seccomp: { type: 'runtimeDefault', path: '' },
  apparmorProfile: '',
};

export const container: ContainerSpec = {
  key: { sandboxId: SANDBOX_ID, name: 'app', attempt: 0 },
  imageRequested: 'registry.example/app:1',
  imageUserSpecified: '',
  imageId: IMAGE_ID,
  command: [],
  args: [],
  workingDir: '',
  env: [],
  mounts: [],
  devices: [],
  labels: {},
  annotations: {},
  logPath: 'app/0.log',
  stdin: false,
  stdinOnce: false,
  tty: false,
  resources: NO_LIMITS,
  security,
  stopSignal: '',
};

export const host: SpecHost = {
  arch: 'x64',
  kernelRelease: '6.1.0-23-amd64',
  boundingCapabilities: CAPABILITY_NAMES,
  cgroupVersion: 2,
  swapLimits: true,
  refusedPrograms: ['x32'],
  hugepageSizes: ['1GB', '2MB'],
  openFilesHard: 524_288,
  oomScoreAdj: -999,
  oomScoreAdjCanSink: true,
  hostname: 'node-7',
};

const root: ResolvedUser = { uid: 0, gid: 0, additionalGids: [0], home: '/root' };

export const layout = createLayout({ root: '/var/lib/troupe', state: '/run/troupe' });

/** The whole input of one container. */
export function inputOf(
  changes: {
    readonly spec?: Partial<ContainerSpec>;
    readonly security?: Partial<ContainerSecurity>;
    readonly resources?: Partial<ContainerSpec['resources']>;
    readonly sandbox?: Partial<SandboxSpec>;
    readonly image?: Partial<ImageConfig>;
    readonly host?: Partial<SpecHost>;
    readonly input?: Partial<SpecInput>;
  } = {},
): SpecInput {
  const pod: SandboxSpec = { ...sandbox, ...changes.sandbox };
  const isOwnNetwork = pod.namespaces.network === 'pod';
  return {
    id: CONTAINER_ID,
    sandboxId: SANDBOX_ID,
    spec: {
      ...container,
      ...changes.spec,
      security: { ...security, ...changes.security },
      resources: { ...container.resources, ...changes.resources },
    },
    sandbox: pod,
    image: { ...image, ...changes.image },
    user: root,
    mounts: [],
    devices: [],
    localSeccomp: undefined,
    paths: {
      rootfs: layout.rootfs(CONTAINER_ID),
      files: layout.sandboxFiles(SANDBOX_ID),
      pins: {
        net: isOwnNetwork ? layout.pin(SANDBOX_ID, 'net') : undefined,
        uts: isOwnNetwork ? layout.pin(SANDBOX_ID, 'uts') : undefined,
        ipc: pod.namespaces.ipc === 'pod' ? layout.pin(SANDBOX_ID, 'ipc') : undefined,
      },
      pidNamespace: undefined,
      cgroup: containerCgroup(pod.cgroupParent, CONTAINER_ID),
    },
    host: { ...host, ...changes.host },
    handler: { recursiveReadOnlyMounts: true },
    ...changes.input,
  };
}

/** A plain read-write mount. */
export function mountOf(containerPath: string, changes: Partial<Mount> = {}): Mount {
  return {
    containerPath,
    hostPath: `/host${containerPath}`,
    readonly: false,
    recursiveReadOnly: false,
    propagation: 'private',
    selinuxRelabel: false,
    ...changes,
  };
}
