/** A troupe that does nothing but remember what it was asked, behind the real edge; and views to fill its directory. */
import type {
  DescMessage,
  DescMethodUnary,
  Message,
  MessageInitShape,
  MessageShape,
  UnknownEnum,
} from '@bufbuild/protobuf';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { createEmptyActor } from 'xstate';
import { Activity } from '../../../src/actors/effects/activity.ts';
import { containerAddress } from '../../../src/actors/container/container.context.ts';
import { Directory } from '../../../src/actors/directory/directory.ts';
import type { ClockPort } from '../../../src/ports/clock.ts';
import { NO_LIMITS } from '../../../src/ports/resources.ts';
import type { HandlerStatus } from '../../../src/ports/runtime.ts';
import type { ContainerSpec, ImageRecord, SandboxSpec } from '../../../src/ports/specs.ts';
import { sandboxAddress } from '../../../src/actors/sandbox/sandbox.context.ts';
import type { Troupe } from '../../../src/actors/troupe.ts';
import type { ContainerView, SandboxView } from '../../../src/actors/directory/views.ts';
import { Conditions } from '../../../src/base/conditions.ts';
import { fail } from '../../../src/base/fault.ts';
import type { ContainerId, Digest, ImageId, SandboxId } from '../../../src/base/ids.ts';
import { silentLog } from '../../../src/base/log.ts';
import { edgeMethods } from '../../../src/cri/call/edge.ts';
import type { ServiceOptions } from '../../../src/cri/call/service-options.ts';
import { createServices } from '../../../src/cri/services.ts';
import { RpcError } from '../../../src/cri/call/status.ts';
import { UnreadUsage } from '../../../src/cri/call/unread-usage.ts';
import type { Status } from '../../../src/cri/call/status.ts';
import type { UnaryHandler } from '../../../src/cri/call/server.ts';
import { wholeBytes } from '../../support/whole-bytes.ts';

export const NOW_NS = 1_700_000_000_123_456_789n;
const clock: ClockPort = {
  nowNs: () => NOW_NS,
  monoMs: () => 0,
  setTimeout: () => 0,
  clearTimeout: () => undefined,
};

/** Keys that an object has by itself, and values that begin with a line break. */
export const strangeLabels = Object.fromEntries(
  ['__proto__', 'constructor', 'a'].map((key) => [key, `\n ${key}`]),
);
export const hex = (digit: string): string => digit.repeat(64);
export const sandboxId = (digit: string): SandboxId => hex(digit) as SandboxId;
export const containerId = (digit: string): ContainerId => hex(digit) as ContainerId;
export const imageId = (digit: string): ImageId => `sha256:${hex(digit)}` as ImageId;

/** The fields of a message, to be spread into another. */
export type Fields<D extends DescMessage> = Exclude<MessageInitShape<D>, Message>;

/** A number that no value of the enum has, as a newer client could send it. */
export const strange = (number: number): UnknownEnum => number as UnknownEnum;

const user = {
  runAsUser: undefined,
  runAsUsername: '',
  runAsGroup: undefined,
  supplementalGroups: [],
  supplementalGroupsPolicy: 'merge',
} as const;

export const podSpec: SandboxSpec = {
  key: { name: 'web', namespace: 'shop', uid: 'u-1', attempt: 0 },
  hostname: '',
  logDirectory: '/var/log/pods/web',
  dns: undefined,
  portMappings: [],
  labels: { app: 'web' },
  annotations: {},
  handler: '',
  cgroupParent: '',
  sysctls: [],
  namespaces: { network: 'pod', pid: 'container', ipc: 'pod', targetId: undefined },
  privileged: false,
  user,
  readonlyRootfs: false,
  seccomp: { type: 'unconfined', path: '' },
};

export const containerSpec: ContainerSpec = {
  key: { sandboxId: sandboxId('a'), name: 'main', attempt: 0 },
  imageRequested: 'busybox',
  imageUserSpecified: 'busybox:latest',
  imageId: imageId('1'),
  command: ['true'],
  args: [],
  workingDir: '',
  env: [],
  mounts: [],
  devices: [],
  labels: { app: 'web' },
  annotations: {},
  logPath: 'main/0.log',
  stdin: false,
  stdinOnce: false,
  tty: false,
  resources: NO_LIMITS,
  security: {
    privileged: false,
    capabilities: { add: [], drop: [], addAmbient: [] },
    namespaces: podSpec.namespaces,
    user,
    readonlyRootfs: false,
    noNewPrivs: true,
    maskedPaths: [],
    readonlyPaths: [],
    seccomp: { type: 'unconfined', path: '' },
    apparmorProfile: '',
  },
  stopSignal: '',
};

export function sandboxView(id: SandboxId, more: Partial<SandboxView> = {}): SandboxView {
  return {
    kind: 'sandbox',
    address: sandboxAddress(id),
    id,
    spec: podSpec,
    path: 'ready',
    state: 'ready',
    settled: true,
    listed: true,
    claimed: true,
    committed: true,
    fault: undefined,
    createdAtNs: 1_600_000_000_000_000_001n,
    ready: true,
    ips: ['10.88.0.5', 'fd00::5'],
    pause: undefined,
    stopCleanupPending: false,
    removal: false,
    cleanupPending: false,
    pendingCleanup: [],
    ...more,
  };
}

export function containerView(id: ContainerId, more: Partial<ContainerView> = {}): ContainerView {
  return {
    kind: 'container',
    address: containerAddress(id),
    id,
    spec: containerSpec,
    path: 'running',
    state: 'running',
    settled: true,
    listed: true,
    claimed: true,
    committed: true,
    fault: undefined,
    handler: '',
    image: { id: imageId('1'), ref: `docker.io/library/busybox@sha256:${hex('9')}`, layers: [] },
    createdAtNs: 1_600_000_000_000_000_002n,
    startedAtNs: 1_600_000_000_000_000_003n,
    startUnrecorded: false,
    criState: 'running',
    exit: undefined,
    grace: undefined,
    init: { pid: 4711, startTicks: 12n, bootId: 'b' },
    effective: {
      uid: 1000,
      gid: 1001,
      supplementalGroups: [1001, 7],
      stopSignal: 'SIGRTMIN+3',
      logPath: '/var/log/pods/web/main/0.log',
    },
    startFault: undefined,
    cleanupPending: false,
    pendingCleanup: [],
    updatable: true,
    updating: [],
    updated: [],
    ...more,
  };
}

export function image(digit: string, more: Partial<ImageRecord> = {}, imageUser = ''): ImageRecord {
  return {
    id: imageId(digit),
    repoTags: ['docker.io/library/busybox:latest'],
    repoDigests: [`docker.io/library/busybox@sha256:${hex('9')}`],
    layers: [{ diffId: `sha256:${hex('8')}` as Digest }],
    config: {
      user: imageUser,
      env: ['SECRET=hidden'],
      entrypoint: ['/bin/sh'],
      cmd: [],
      workingDir: '/',
      stopSignal: '',
      volumes: ['/data'],
      labels: { maintainer: 'us' },
      architecture: 'amd64',
      os: 'linux',
    },
    sizeBytes: 5_000_000_000,
    pulledAtNs: 1n,
    ...more,
  };
}

export const handlers: readonly HandlerStatus[] = [
  { name: '', ready: true, reason: '', recursiveReadOnlyMounts: false, userNamespaces: true },
  { name: 'crun', ready: true, reason: '', recursiveReadOnlyMounts: true, userNamespaces: false },
];

/** What the fake troupe was asked: the name of the method and its arguments without the call. */
export type Asked = readonly [string, ...unknown[]];

export interface Stage {
  readonly asked: Asked[];
  readonly troupe: Troupe;
  readonly directory: Directory;
  put(...views: readonly (SandboxView | ContainerView)[]): void;
  /** The decoded answer; throws RpcError. */
  send<M extends DescMethodUnary>(
    rpc: M,
    request: MessageInitShape<M['input']>,
  ): Promise<MessageShape<M['output']>>;
  /** As `send`, with the request's bytes. */
  sendBytes<M extends DescMethodUnary>(rpc: M, request: Uint8Array): Promise<MessageShape<M['output']>>;
  /** The status with which the call failed. */
  fails<M extends DescMethodUnary>(rpc: M, request: MessageInitShape<M['input']>): Promise<Status>;
}

type ImageParts = Pick<
  Troupe,
  | 'findImage'
  | 'isAmbiguousImage'
  | 'images'
  | 'sourceOf'
  | 'isPinned'
  | 'keptImages'
  | 'pullLayers'
  | 'imageUsage'
>;

/** Two images, the second of them pinned. */
const fakeImages: ImageParts = {
  findImage: (name) => (['missing', 'several'].includes(name) ? undefined : image('1')),
  isAmbiguousImage: (name) => name === 'several',
  images: () => [image('1'), image('2')],
  sourceOf: ({ sources = [] }) => sources[0],
  isPinned: ({ id }) => id === imageId('2'),
  keptImages: () => ({ images: [], others: [] }),
  pullLayers: () => [],
  imageUsage: () =>
    Promise.resolve({
      images: { mountpoint: '/images', usedBytes: 2n ** 60n, inodesUsed: 7n },
      containers: { mountpoint: '/containers', usedBytes: 0n, inodesUsed: 0n },
    }),
};

/** A troupe that succeeds at everything; what it is asked goes into `asked`. */
function fakeTroupe(asked: Asked[], directory: Directory): Troupe {
  const remember =
    <T>(name: string, answer: T) =>
    (...args: readonly unknown[]): Promise<T> => {
      asked.push([name, ...args.slice(0, -1)]);
      return Promise.resolve(answer);
    };
  return {
    directory,
    activity: new Activity(clock),
    start: () => Promise.resolve(),
    onFailed: () => undefined,
    notReadyReason: () => undefined,
    hasRecovered: () => true,
    writeRefusal: () => undefined,
    drain: () => Promise.resolve(),
    runSandbox: remember('runSandbox', sandboxId('a')),
    stopSandbox: remember('stopSandbox', undefined),
    removeSandbox: remember('removeSandbox', undefined),
    createContainer: remember('createContainer', containerId('c')),
    startContainer: remember('startContainer', undefined),
    stopContainer: remember('stopContainer', undefined),
    removeContainer: remember('removeContainer', undefined),
    updateContainer: remember('updateContainer', undefined),
    updateSandbox: remember('updateSandbox', undefined),
    execSync: remember('execSync', {
      exitCode: 3,
      stdout: new Uint8Array([1]),
      stderr: new Uint8Array([2, 3]),
    }),
    reopenLog: remember('reopenLog', undefined),
    checkpointContainer: remember('checkpointContainer', undefined),
    checkpointSandbox: remember('checkpointSandbox', undefined),
    describeCheckpoint: remember('describeCheckpoint', {
      digest: 'sha256:0',
      images: ['busybox'],
      mounts: [],
      tty: false,
    }),
    pullImage: remember('pullImage', imageId('1')),
    removeImage: remember('removeImage', undefined),
    ...fakeImages,
    stats: {
      container: () => undefined,
      details: () => fail('bug', 'nobody reads details of a fake'),
      sandbox: () => undefined,
      interfaces: () => [],
    },
    written: () => Promise.resolve(undefined),
    nowNs: () => 5n,
    networkStatus: () => ({ ready: true, reason: '', message: '' }),
    handlers: () => handlers,
    nriPlugins: () => [{ id: '10-logger', gone: '' }],
  };
}

/** `troupe` replaces single methods of the fake, `options` single facts of the host. */
export function stage(troupe: Partial<Troupe> = {}, options: Partial<ServiceOptions> = {}): Stage {
  const asked: Asked[] = [];
  const directory = new Directory();
  const fake: Troupe = { ...fakeTroupe(asked, directory), ...troupe };
  const services = createServices({ ...hostOptions, troupe: fake, clock, ...options });
  let ids = 0;
  const methods = edgeMethods({
    clock,
    random: { token: (bytes) => (++ids).toString(16).padStart(2 * bytes, '0') },
    log: silentLog,
    notReadyReason: fake.notReadyReason,
    ...services,
  });
  const put: Stage['put'] = (...views) => views.forEach((view) => directory.put(view, createEmptyActor()));
  return { asked, troupe: fake, directory, put, ...sender(methods) };
}

function sender(
  methods: Readonly<Record<string, UnaryHandler>>,
): Pick<Stage, 'send' | 'sendBytes' | 'fails'> {
  const sendBytes = async <M extends DescMethodUnary>(
    rpc: M,
    request: Uint8Array,
  ): Promise<MessageShape<M['output']>> => {
    const method = methods[`${rpc.parent.typeName}/${rpc.name}`];
    if (method === undefined) throw new Error(`${rpc.name} has no handler`);
    return fromBinary<M['output']>(
      rpc.output,
      wholeBytes(await method(request, { signal: new AbortController().signal })),
    );
  };
  const send: Stage['send'] = (rpc, request) =>
    sendBytes(rpc, toBinary(rpc.input, create(rpc.input, request)));
  const fails: Stage['fails'] = async (rpc, request) => {
    const thrown = await send(rpc, request).then(
      () => new Error(`${rpc.name} did not fail`),
      (error: unknown) => error,
    );
    if (thrown instanceof RpcError) return thrown.status;
    throw thrown;
  };
  return { send, sendBytes, fails };
}

export const hostOptions: Omit<ServiceOptions, 'troupe' | 'clock'> = {
  version: '1.2.3',
  cgroupDriver: 'cgroupfs',
  selinuxEnabled: false,
  apparmorEnabled: false,
  apparmorDefault: '',
  capabilityNames: ['CAP_NET_ADMIN', 'CAP_SYS_ADMIN', 'CAP_CHOWN'],
  defaultMaskedPaths: ['/proc/kcore'],
  defaultReadonlyPaths: ['/proc/sys'],
  configView: () => ({ root: '/var/lib/troupe' }),
  configRefusal: () => undefined,
  lostFacts: undefined,
  restoresCheckpoints: true,
  conditions: new Conditions(silentLog),
  unread: new UnreadUsage(silentLog, clock),
  random: { token: () => 'feed' },
};
