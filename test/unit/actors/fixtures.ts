// Requests, records and a clock for the tests of actors.
import { expect } from 'vitest';
import { recordedSpec } from '../../../src/actors/effects/recorded.ts';
import type { AnyActorRef } from 'xstate';
import type { ContainerState } from '../../../src/actors/directory/states.ts';
import type { ContainerView } from '../../../src/actors/directory/views.ts';
import type {
  ContainerCreated,
  ContainerIntent,
  ExitFact,
  ProcessIdentity,
  SandboxIntent,
  SandboxReady,
} from '../../../src/ports/journal.ts';
import { NO_LIMITS } from '../../../src/ports/resources.ts';
import type { ResolvedImage } from '../../../src/ports/images.ts';
import type {
  ContainerSecurity,
  ContainerSpec,
  ImageRecord,
  Namespaces,
  SandboxSpec,
  UserChoice,
} from '../../../src/ports/specs.ts';
import { fail } from '../../../src/base/fault.ts';
import { parseContainerId, parseDigest, parseImageId, parseSandboxId } from '../../../src/base/ids.ts';

const bad = (): never => fail('bug', 'the fixture made a bad id');
const hex = (digit: string): string => digit.repeat(64);
export const sandboxId = (digit = 'a') => parseSandboxId(hex(digit)) ?? bad();
export const containerId = (digit = 'c') => parseContainerId(hex(digit)) ?? bad();
export const digest = (digit: string) => parseDigest(`sha256:${hex(digit)}`) ?? bad();
export const imageId = (digit = '1') => parseImageId(`sha256:${hex(digit)}`) ?? bad();

const namespaces: Namespaces = { network: 'pod', pid: 'container', ipc: 'pod', targetId: undefined };
const user: UserChoice = {
  runAsUser: undefined,
  runAsUsername: '',
  runAsGroup: undefined,
  supplementalGroups: [],
  supplementalGroupsPolicy: 'merge',
};
const seccomp = { type: 'runtimeDefault', path: '' } as const;

/** The request for a sandbox. */
export function sandboxSpec(part: Partial<SandboxSpec> = {}): SandboxSpec {
  return {
    key: { name: 'web', namespace: 'default', uid: 'u1', attempt: 0 },
    hostname: 'web',
    logDirectory: '/var/log/pods/web',
    dns: undefined,
    portMappings: [],
    labels: { app: 'web' },
    annotations: { seen: '1' },
    handler: '',
    cgroupParent: '/kubepods/web',
    sysctls: [],
    namespaces,
    privileged: false,
    user,
    readonlyRootfs: false,
    seccomp,
    ...part,
  };
}

const security: ContainerSecurity = {
  privileged: false,
  capabilities: { add: [], drop: [], addAmbient: [] },
  namespaces,
  user,
  readonlyRootfs: false,
  noNewPrivs: true,
  maskedPaths: [],
  readonlyPaths: [],
  seccomp,
  apparmorProfile: '',
};

/** The request for a container. */
export function containerSpec(part: Partial<ContainerSpec> = {}): ContainerSpec {
  return {
    key: { sandboxId: sandboxId(), name: 'nginx', attempt: 0 },
    imageRequested: 'nginx',
    imageUserSpecified: 'nginx',
    imageId: imageId(),
    command: ['nginx'],
    args: ['-g', 'daemon off;'],
    workingDir: '/',
    env: [{ name: 'A', value: '1' }],
    mounts: [
      {
        containerPath: '/data',
        hostPath: '/srv/data',
        readonly: false,
        recursiveReadOnly: false,
        propagation: 'private',
        selinuxRelabel: false,
      },
      {
        containerPath: '/dev/termination-log',
        hostPath: '/pods/u1/containers/nginx/1f3a',
        readonly: false,
        recursiveReadOnly: false,
        propagation: 'private',
        selinuxRelabel: false,
      },
    ],
    devices: [],
    labels: { tier: 'front' },
    annotations: { 'io.kubernetes.container.restartCount': '0' },
    logPath: 'nginx/0.log',
    stdin: false,
    stdinOnce: false,
    tty: false,
    resources: { ...NO_LIMITS, cpuShares: 2n },
    security,
    stopSignal: '',
    ...part,
  };
}

export const process: ProcessIdentity = { pid: 4711, startTicks: 99n, bootId: 'boot-1' };
export const exit: ExitFact = {
  exitCode: 3,
  finishedAtNs: 900n,
  oomKilled: false,
  reason: 'Error',
  message: '',
  observedBy: 'exitFile',
};

export function sandboxIntent(part: Partial<SandboxSpec> = {}, id = sandboxId()): SandboxIntent {
  return { type: 'sandbox.intent', id, spec: sandboxSpec(part), createdAtNs: 100n };
}

export function sandboxReady(pause?: ProcessIdentity, id = sandboxId()): SandboxReady {
  return { type: 'sandbox.ready', id, ips: ['10.62.0.2'], pause };
}

export function containerIntent(part: Partial<ContainerSpec> = {}, id = containerId()): ContainerIntent {
  return {
    type: 'container.intent',
    id,
    spec: recordedSpec(containerSpec(part)),
    image: { id: imageId(), ref: 'nginx', layers: [digest('5')] },
    createdAtNs: 200n,
  };
}

export function containerCreated(id = containerId()): ContainerCreated {
  return {
    type: 'container.created',
    id,
    init: process,
    effective: {
      uid: 0,
      gid: 0,
      supplementalGroups: [],
      stopSignal: 'SIGTERM',
      logPath: '/var/log/pods/web/nginx/0.log',
    },
  };
}

export function imageRecord(part: Partial<ImageRecord> = {}): ImageRecord {
  return {
    id: imageId(),
    repoTags: ['docker.io/library/nginx:1'],
    repoDigests: [`docker.io/library/nginx@${digest('9')}`],
    layers: [{ diffId: digest('5') }],
    config: {
      user: '',
      env: [],
      entrypoint: [],
      cmd: [],
      workingDir: '',
      stopSignal: '',
      volumes: [],
      labels: {},
      architecture: 'amd64',
      os: 'linux',
    },
    sizeBytes: 20,
    pulledAtNs: 50n,
    ...part,
  };
}

/** The same as its registry has it. */
export function resolvedImage(part: Partial<ResolvedImage> = {}): ResolvedImage {
  const {
    id,
    repoTags: [repoTag = ''],
    repoDigests: [repoDigest = ''],
    config,
  } = imageRecord();
  return {
    id,
    repoTag,
    repoDigest,
    manifestDigest: digest('9'),
    config,
    configBytes: 10,
    layers: [
      {
        digest: digest('4'),
        diffId: digest('5'),
        mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
        sizeBytes: 10,
      },
    ],
    ...part,
  };
}

/** What the directory holds for a container in this state. */
export function containerView(state: ContainerState, part: Partial<ContainerView> = {}): ContainerView {
  const id = part.id ?? containerId();
  return {
    address: `container/${id}`,
    path: state,
    state,
    settled: true,
    listed: true,
    claimed: true,
    fault: undefined,
    kind: 'container',
    id,
    spec: containerSpec(),
    handler: '',
    image: { id: imageId(), ref: 'nginx', layers: [] },
    createdAtNs: 1n,
    startedAtNs: undefined,
    criState: 'created',
    exit: undefined,
    grace: undefined,
    init: undefined,
    effective: undefined,
    startFault: undefined,
    cleanupPending: false,
    ...part,
  } as ContainerView;
}

/** An actor that keeps what it is sent. */
export function recordingRef(): { readonly ref: AnyActorRef; readonly sent: { readonly type: string }[] } {
  const sent: { readonly type: string }[] = [];
  return { ref: { send: (event: { readonly type: string }) => sent.push(event) } as never, sent };
}

/** Matches an error whose Fault is of that kind. */
export const ofKind = (kind: string): Error =>
  expect.objectContaining({ fault: expect.objectContaining({ kind }) as unknown }) as Error;
