/** What RunPodSandbox makes of a good request. */
import { create, toBinary } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import {
  NamespaceMode,
  Protocol,
  RunPodSandboxRequestSchema,
  RuntimeService,
  SecurityProfile_ProfileType as Profile,
  SupplementalGroupsPolicy,
} from '../../../src/gen/runtime/v1/api_pb.ts';
import { hex, podSpec, stage } from './stage.ts';

const { method } = RuntimeService;
const metadata = { name: 'web', namespace: 'shop', uid: 'u-1', attempt: 2 };

const fullRequest = {
  runtimeHandler: 'crun',
  config: {
    metadata,
    hostname: 'web-1',
    logDirectory: '/var/log/pods/x',
    dnsConfig: {
      servers: ['10.0.0.10', 'fe80::1%eth0'],
      searches: ['svc.cluster.local', '.'],
      options: ['ndots:5'],
    },
    portMappings: [
      { protocol: Protocol.SCTP, containerPort: 80, hostPort: 8080, hostIp: '::1' },
      { containerPort: 81, hostPort: 0 },
    ],
    labels: { a: 'b' },
    annotations: { c: 'd\n' },
    linux: {
      cgroupParent: '/kubepods/burstable/pod1//',
      sysctls: { 'net.core.somaxconn': '1024' },
      overhead: { memoryLimitInBytes: 5n },
      resources: { cpuShares: 2n },
      securityContext: {
        namespaceOptions: {
          pid: NamespaceMode.CONTAINER,
          ipc: NamespaceMode.NODE,
          usernsOptions: { mode: NamespaceMode.NODE },
        },
        runAsUser: { value: 7n },
        runAsGroup: { value: 8n },
        supplementalGroups: [9n],
        supplementalGroupsPolicy: SupplementalGroupsPolicy.Strict,
        readonlyRootfs: true,
        privileged: true,
        seccomp: { profileType: Profile.Localhost, localhostRef: '/profiles/a.json' },
        seccompProfilePath: 'unconfined',
      },
    },
  },
};

/** What the actors are given for it. */
const fullSpec = {
  key: metadata,
  hostname: 'web-1',
  logDirectory: '/var/log/pods/x',
  dns: { servers: ['10.0.0.10', 'fe80::1%eth0'], searches: ['svc.cluster.local', '.'], options: ['ndots:5'] },
  portMappings: [{ protocol: 'sctp', containerPort: 80, hostPort: 8080, hostIp: '::1' }],
  labels: { a: 'b' },
  annotations: { c: 'd\n' },
  handler: 'crun',
  cgroupParent: '/kubepods/burstable/pod1',
  sysctls: [{ name: 'net.core.somaxconn', value: '1024' }],
  namespaces: { network: 'pod', pid: 'container', ipc: 'node', targetId: undefined },
  privileged: true,
  user: {
    runAsUser: 7,
    runAsUsername: '',
    runAsGroup: 8,
    supplementalGroups: [9],
    supplementalGroupsPolicy: 'strict',
  },
  readonlyRootfs: true,
  seccomp: { type: 'localhost', path: '/profiles/a.json' },
  resources: expect.objectContaining({ cpuShares: 2n, memoryLimitBytes: undefined }) as unknown,
  overhead: expect.objectContaining({ memoryLimitBytes: 5n, cpuShares: undefined }) as unknown,
};

describe('RunPodSandbox', () => {
  test('the smallest request has everything at its default', async () => {
    const { send, asked } = stage();
    expect(await send(method.runPodSandbox, { config: { metadata } })).toMatchObject({
      podSandboxId: hex('a'),
    });
    expect(asked).toEqual([
      [
        'runSandbox',
        {
          ...podSpec,
          key: metadata,
          logDirectory: '',
          labels: {},
          namespaces: { network: 'pod', pid: 'pod', ipc: 'pod', targetId: undefined },
        },
      ],
    ]);
  });

  test('every supported field arrives', async () => {
    const { send, asked } = stage();
    await send(method.runPodSandbox, fullRequest);
    expect(asked).toEqual([['runSandbox', fullSpec]]);
  });

  test('a port mapping stated by two containers of the pod counts once', async () => {
    const { send, asked } = stage();
    const http = { containerPort: 80, hostPort: 8080, protocol: Protocol.TCP };
    const portMappings = [
      http,
      { ...http, protocol: Protocol.UDP },
      http,
      { ...http, containerPort: 81, hostIp: '127.0.0.1' },
    ];
    await send(method.runPodSandbox, { config: { metadata, portMappings } });
    const mapped = { containerPort: 80, hostPort: 8080, protocol: 'tcp', hostIp: '' };
    expect(asked).toMatchObject([
      [
        'runSandbox',
        {
          portMappings: [
            mapped,
            { ...mapped, protocol: 'udp' },
            { ...mapped, containerPort: 81, hostIp: '127.0.0.1' },
          ],
        },
      ],
    ]);
  });

  test('no DNS config means the host’s resolv.conf, an empty one an empty file (kubernetes/kubernetes#120748)', async () => {
    const { send, asked } = stage();
    await send(method.runPodSandbox, { config: { metadata } });
    await send(method.runPodSandbox, { config: { metadata, dnsConfig: {} } });
    expect(asked).toMatchObject([
      ['runSandbox', { dns: undefined }],
      ['runSandbox', { dns: { servers: [], searches: [], options: [] } }],
    ]);
  });

  test('host network maps no ports', async () => {
    const { send, asked } = stage();
    const linux = { securityContext: { namespaceOptions: { network: NamespaceMode.NODE } } };
    const config = { metadata, portMappings: [{ containerPort: 80, hostPort: 80 }], linux };
    await send(method.runPodSandbox, { config });
    expect(asked).toMatchObject([['runSandbox', { portMappings: [], namespaces: { network: 'node' } }]]);
  });

  test.each([
    ['', 'unconfined', ''],
    ['unconfined', 'unconfined', ''],
    ['runtime/default', 'runtimeDefault', ''],
    ['docker/default', 'runtimeDefault', ''],
    ['localhost//etc/x.json', 'localhost', '/etc/x.json'],
  ])('the old seccomp field %j is %s', async (seccompProfilePath, type, path) => {
    const { send, asked } = stage();
    await send(method.runPodSandbox, {
      config: { metadata, linux: { securityContext: { seccompProfilePath } } },
    });
    expect(asked).toMatchObject([['runSandbox', { seccomp: { type, path } }]]);
  });

  test('S61 S76 labels and annotations arrive unchanged: __proto__, constructor, toString', async () => {
    const { sendBytes, asked } = stage();
    const labels = Object.fromEntries(
      ['__proto__', 'constructor', 'toString', 'hasOwnProperty', '$i'].map((key) => [key, `x ${key}`]),
    );
    const request = create(RunPodSandboxRequestSchema, { config: { metadata, labels, annotations: labels } });
    await sendBytes(method.runPodSandbox, toBinary(RunPodSandboxRequestSchema, request));
    const spec = asked[0]?.[1] as { labels: object; annotations: object };
    expect(Object.entries(spec.labels)).toEqual(Object.entries(labels));
    expect(Object.entries(spec.annotations)).toEqual(Object.entries(labels));
    expect(Object.keys(spec.labels)).toContain('__proto__');
  });
});
