/**
 * Requests with bytes changed at random (seeded): whatever comes, the answer is a plain refusal or a success, never our
 * bug.
 */
import type { DescMethodUnary, MessageInitShape } from '@bufbuild/protobuf';
import { create, toBinary } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import {
  ImageService,
  MountPropagation,
  NamespaceMode,
  RuntimeService,
  Signal,
} from '../../../../src/gen/runtime/v1/api_pb.ts';
import { RpcError } from '../../../../src/cri/call/status.ts';
import { containerId, containerView, hex, podSpec, sandboxId, sandboxView, stage } from '../stage.ts';

const ROUNDS = 1500;

/** Numbers from 0 to 2^32-1, the same ones for the same seed (Numerical Recipes' linear congruential generator). */
function numbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state;
  };
}

function mutate(bytes: Uint8Array, next: () => number): Uint8Array {
  const copy = new Uint8Array(bytes);
  for (let times = 1 + ((next() >>> 8) % 4); times > 0; times -= 1)
    copy[(next() >>> 8) % copy.length] = next() >>> 24;
  return copy;
}

const metadata = { name: 'web', namespace: 'shop', uid: 'u-1', attempt: 2 };
const { method } = RuntimeService;
const pod: MessageInitShape<typeof method.runPodSandbox.input> = {
  config: {
    metadata,
    hostname: 'web-1',
    logDirectory: '/var/log/pods/x',
    dnsConfig: { servers: ['10.0.0.10', 'fe80::1%eth0'], searches: ['a.b'], options: ['ndots:5'] },
    portMappings: [{ containerPort: 80, hostPort: 8080, hostIp: '::1' }],
    labels: { a: 'b', __proto__x: 'c' },
    linux: {
      cgroupParent: '/kubepods/pod1',
      sysctls: { 'kernel.sem': '1 2 3 4', 'net.core.somaxconn': '1' },
      securityContext: {
        namespaceOptions: { pid: NamespaceMode.CONTAINER },
        runAsUser: { value: 7n },
        runAsGroup: { value: 8n },
      },
      resources: {
        cpuPeriod: 100_000n,
        cpuQuota: 5000n,
        cpusetCpus: '0-3,7',
        unified: { 'memory.high': 'max' },
      },
    },
  },
};
const container: MessageInitShape<typeof method.createContainer.input> = {
  podSandboxId: hex('a'),
  config: {
    metadata: { name: 'main' },
    image: { image: 'busybox' },
    command: ['sh'],
    envs: [{ key: 'HOME', value: new Uint8Array([0x2f, 0xc3, 0xa9]) }],
    mounts: [
      {
        containerPath: '/a',
        hostPath: '/b',
        readonly: true,
        recursiveReadOnly: true,
        propagation: MountPropagation.PROPAGATION_PRIVATE,
      },
    ],
    devices: [{ containerPath: '/dev/x', hostPath: '/dev/y', permissions: 'rwm' }],
    logPath: 'main/0.log',
    stopSignal: Signal.SIGRTMAX,
    linux: {
      resources: {
        memoryLimitInBytes: 2n ** 40n,
        memorySwapLimitInBytes: 2n ** 41n,
        oomScoreAdj: -998n,
        hugepageLimits: [{ pageSize: '2MB' }],
      },
      securityContext: {
        privileged: true,
        capabilities: { addCapabilities: ['NET_ADMIN'], dropCapabilities: ['ALL'] },
        namespaceOptions: { pid: NamespaceMode.TARGET, targetId: '11' },
        runAsUsername: 'www-data',
        maskedPaths: ['/proc/kcore'],
        seccompProfilePath: 'localhost//x.json',
      },
    },
  },
};

const REQUESTS: readonly (readonly [DescMethodUnary, Uint8Array])[] = [
  [method.runPodSandbox, toBinary(method.runPodSandbox.input, create(method.runPodSandbox.input, pod))],
  [
    method.createContainer,
    toBinary(method.createContainer.input, create(method.createContainer.input, container)),
  ],
  [
    method.listContainers,
    toBinary(
      method.listContainers.input,
      create(method.listContainers.input, {
        filter: { id: '1', state: { state: 1 }, podSandboxId: 'a', labelSelector: { app: 'web' } },
      }),
    ),
  ],
  [
    method.execSync,
    toBinary(
      method.execSync.input,
      create(method.execSync.input, { containerId: '1', cmd: ['sh', '-c'], timeout: 300n }),
    ),
  ],
  [
    ImageService.method.pullImage,
    toBinary(
      ImageService.method.pullImage.input,
      create(ImageService.method.pullImage.input, {
        image: { image: 'busybox' },
        auth: { username: 'u', password: 'p' },
      }),
    ),
  ],
];

describe('S61 S62 S63 requests with changed bytes', () => {
  test.each(REQUESTS.map(([rpc, bytes]) => [rpc.name, rpc, bytes] as const))(
    '%s',
    async (_name, rpc, bytes) => {
      const made = stage();
      made.put(
        sandboxView(sandboxId('a'), { spec: { ...podSpec, privileged: true, handler: 'crun' } }),
        containerView(containerId('1')),
      );
      await made.sendBytes(rpc, bytes);
      const next = numbers(20_261_120);
      const codes = new Map<string, number>();
      for (let round = 0; round < ROUNDS; round += 1) {
        const code = await made.sendBytes(rpc, mutate(bytes, next)).then(() => 'ok', codeOf);
        codes.set(code, (codes.get(code) ?? 0) + 1);
      }
      const allowed = ['ok', 'invalidArgument', 'notFound', 'unknown'];
      expect([...codes.keys()].filter((code) => !allowed.includes(code))).toEqual([]);
      expect(codes.get('invalidArgument') ?? 0).toBeGreaterThan(0);
    },
  );
});

function codeOf(thrown: unknown): string {
  return thrown instanceof RpcError ? thrown.status.code : String(thrown);
}
