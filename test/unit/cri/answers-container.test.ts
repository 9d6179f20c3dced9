/** What is shown of containers: their statuses and lists. */
import { describe, expect, test } from 'vitest';
import {
  ContainerState,
  MountPropagation,
  RuntimeService,
  Signal,
} from '../../../src/gen/runtime/v1/api_pb.ts';
import type { Fields } from './stage.ts';
import {
  strangeLabels,
  containerId,
  containerSpec,
  containerView,
  hex,
  image,
  imageId,
  sandboxId,
  sandboxView,
  stage,
} from './stage.ts';

const { method } = RuntimeService;

describe('containers', () => {
  const mount = {
    containerPath: '/data',
    hostPath: '/srv',
    readonly: true,
    recursiveReadOnly: true,
    propagation: 'private',
    selinuxRelabel: true,
    options: ['noexec'],
  } as const;

  test('ContainerStatus of a running container', async () => {
    const { send, put } = stage();
    const resources = {
      ...containerSpec.resources,
      memoryLimitBytes: 2n ** 62n,
      cpuQuota: -1n,
      oomScoreAdj: -997,
      unified: { a: 'b' },
    };
    put(
      containerView(containerId('1'), {
        spec: { ...containerSpec, resources, mounts: [mount], labels: strangeLabels },
      }),
    );
    const { status, info } = await send(method.containerStatus, { containerId: '1' });
    expect(status).toMatchObject({
      id: hex('1'),
      metadata: { name: 'main', attempt: 0 },
      state: ContainerState.CONTAINER_RUNNING,
      createdAt: 1_600_000_000_000_000_002n,
      startedAt: 1_600_000_000_000_000_003n,
      finishedAt: 0n,
      exitCode: 0,
      reason: '',
      image: { image: 'busybox', userSpecifiedImage: 'busybox:latest' },
      imageRef: `docker.io/library/busybox@sha256:${hex('9')}`,
      imageId: `sha256:${hex('1')}`,
      logPath: '/var/log/pods/web/main/0.log',
      mounts: [
        {
          containerPath: '/data',
          hostPath: '/srv',
          readonly: true,
          mountOptions: ['noexec'],
          propagation: MountPropagation.PROPAGATION_PRIVATE,
        },
      ],
      resources: {
        linux: { memoryLimitInBytes: 2n ** 62n, cpuQuota: -1n, oomScoreAdj: -997n, unified: { a: 'b' } },
      },
      user: { linux: { uid: 1000n, gid: 1001n, supplementalGroups: [1001n, 7n] } },
      stopSignal: Signal.SIGRTMINPLUS3,
    });
    expect(Object.entries(status?.labels ?? {})).toEqual(Object.entries(strangeLabels));
    expect(info).toEqual({});
  });

  test.each([
    ['the tag that was asked for', 'registry.k8s.io/e2e/busybox:2', 'registry.k8s.io/e2e/busybox:2'],
    ['the whole form of a short name', 'busybox:1', 'docker.io/library/busybox:1'],
    ['the whole form of a short name without a tag', 'library/busybox', 'docker.io/library/busybox:latest'],
    [
      'the digest that was asked for',
      `docker.io/library/busybox@sha256:${hex('9')}`,
      `docker.io/library/busybox@sha256:${hex('9')}`,
    ],
    [
      'its first tag where the name means another image by now',
      'example.test/other:1',
      'docker.io/library/busybox:latest',
    ],
    ['its first tag where only the id was given', '', 'docker.io/library/busybox:latest'],
    ['S86 no name that others have pulled it under', 'gone.test/x', 'docker.io/library/busybox:latest'],
  ])(
    'ContainerStatus names the image, though the kubelet asks by id: %s',
    async (_, imageUserSpecified, shown) => {
      const repoTags = [
        'evil.example/x:1',
        'docker.io/library/busybox:latest',
        'docker.io/library/busybox:1',
        'registry.k8s.io/e2e/busybox:2',
      ];
      const { send, put } = stage({ findImage: () => image('1', { repoTags }) });
      put(
        containerView(containerId('1'), {
          spec: { ...containerSpec, imageRequested: imageId('1'), imageUserSpecified },
        }),
      );
      const { status } = await send(method.containerStatus, { containerId: '1' });
      expect(status?.image).toMatchObject({ image: shown, userSpecifiedImage: imageUserSpecified });
    },
  );

  test('ContainerStatus of a container whose image is gone names it as requested', async () => {
    const { send, put } = stage({ findImage: () => undefined });
    put(
      containerView(containerId('1'), {
        spec: { ...containerSpec, imageRequested: imageId('1'), imageUserSpecified: 'example.test/a:1' },
      }),
    );
    expect((await send(method.containerStatus, { containerId: '1' })).status?.image).toMatchObject({
      image: 'example.test/a:1',
    });
  });

  test('ContainerStatus of a created container: not started, not finished; the requested signal is echoed', async () => {
    const { send, put } = stage();
    put(
      containerView(containerId('1'), {
        criState: 'created',
        startedAtNs: undefined,
        spec: { ...containerSpec, stopSignal: 'SIGCLD' },
      }),
    );
    const { status } = await send(method.containerStatus, { containerId: '1' });
    expect(status).toMatchObject({
      state: ContainerState.CONTAINER_CREATED,
      startedAt: 0n,
      finishedAt: 0n,
      stopSignal: Signal.SIGCLD,
    });
  });

  const exit = {
    exitCode: 137,
    finishedAtNs: 5n,
    oomKilled: true,
    reason: 'OOMKilled',
    message: 'why',
    observedBy: 'exitFile',
  } as const;

  test('ContainerStatus of an ended container', async () => {
    const { send, put } = stage();
    put(containerView(containerId('1'), { criState: 'exited', exit }));
    const { status, info } = await send(method.containerStatus, { containerId: '1', verbose: true });
    expect(status).toMatchObject({
      state: ContainerState.CONTAINER_EXITED,
      exitCode: 137,
      finishedAt: 5n,
      reason: 'OOMKilled',
      message: 'why',
    });
    expect(JSON.parse(info['info'] ?? '')).toMatchObject({
      sandboxID: hex('a'),
      pid: 0,
      privileged: false,
      troupe: { state: 'running', exit: { observedBy: 'exitFile', oomKilled: true } },
    });
  });

  test('ContainerStatus of a container with an image volume shows the id, and the digest as in image_ref', async () => {
    const { send, put } = stage({
      findImage: (name) =>
        name === imageId('2')
          ? image('2', { repoDigests: [`example.test/models@sha256:${hex('8')}`] })
          : undefined,
    });
    const volumes = ['2', '3'].map((digit) => ({
      ...mount,
      hostPath: '',
      image: { id: imageId(digit), subPath: 'sub' },
    }));
    put(containerView(containerId('1'), { spec: { ...containerSpec, mounts: volumes } }));
    const { status } = await send(method.containerStatus, { containerId: '1' });
    expect(status?.mounts).toMatchObject([
      {
        image: { image: imageId('2'), imageRef: `example.test/models@sha256:${hex('8')}` },
        imageSubPath: 'sub',
      },
      { image: { image: imageId('3'), imageRef: imageId('3') }, imageSubPath: 'sub' },
    ]);
  });

  test('verbose statuses have the OCI document if it exists', async () => {
    const text = '{"linux":{"resources":{"memory":{"limit":9223372036854771712}}}}';
    const { send, put } = stage(
      {},
      {
        specs: {
          container: async (id) => (id === containerId('1') ? text : undefined),
          sandbox: async () => '{"linux":{}}',
        },
      },
    );
    put(sandboxView(sandboxId('a')), containerView(containerId('1')), containerView(containerId('2')));
    const infoOf = async (id: string): Promise<string> =>
      (await send(method.containerStatus, { containerId: id, verbose: true })).info['info'] ?? '';
    expect(await infoOf('1')).toContain(`"runtimeSpec":${text}}`);
    expect(JSON.parse(await infoOf('1'))).toMatchObject({ pid: 4711, runtimeSpec: { linux: {} } });
    expect(JSON.parse(await infoOf('2'))).not.toHaveProperty('runtimeSpec');
    const { info } = await send(method.podSandboxStatus, { podSandboxId: 'a', verbose: true });
    expect(JSON.parse(info['info'] ?? '')).toMatchObject({ pid: 0, runtimeSpec: { linux: {} } });
  });

  test('an ended container with an unknown exit never shows the zero time', async () => {
    const { send, put } = stage();
    put(
      containerView(containerId('1'), {
        criState: 'exited',
        exit: undefined,
        effective: undefined,
        init: undefined,
      }),
    );
    const { status } = await send(method.containerStatus, { containerId: '1' });
    expect(status).toMatchObject({
      exitCode: 255,
      reason: 'Unknown',
      finishedAt: 1_600_000_000_000_000_003n,
    });
    expect(status?.user).toBeUndefined();
  });

  const four = (): ReturnType<typeof stage> => {
    const made = stage();
    const elsewhere = {
      ...containerSpec,
      key: { ...containerSpec.key, sandboxId: sandboxId('b') },
      labels: {},
    };
    made.put(
      sandboxView(sandboxId('a')),
      sandboxView(sandboxId('b')),
      containerView(containerId('1')),
      containerView(containerId('2'), { criState: 'exited', exit }),
      containerView(containerId('3'), { spec: elsewhere, criState: 'created', startedAtNs: undefined }),
      containerView(containerId('4'), { listed: false }),
    );
    return made;
  };

  test.each<readonly [string, Fields<(typeof method.listContainers)['input']>['filter'], string]>([
    ['no filter', undefined, '123'],
    ['an id', { id: '2222' }, '2'],
    ['an unknown id', { id: 'f' }, ''],
    ['a sandbox', { podSandboxId: 'bb' }, '3'],
    ['an unknown sandbox', { podSandboxId: 'f' }, ''],
    ['a state', { state: { state: ContainerState.CONTAINER_EXITED } }, '2'],
    ['the zero state', { state: {} }, '3'],
    ['the state unknown', { state: { state: ContainerState.CONTAINER_UNKNOWN } }, ''],
    ['a label and a sandbox', { podSandboxId: 'a', labelSelector: { app: 'web' } }, '12'],
    [
      'everything at once',
      {
        id: '1',
        podSandboxId: 'a',
        state: { state: ContainerState.CONTAINER_RUNNING },
        labelSelector: { app: 'web' },
      },
      '1',
    ],
    ['a label that nobody has', { labelSelector: { __proto__x: '' } }, ''],
  ])('ListContainers with %s', async (_what, filter, expected) => {
    const { containers } = await four().send(method.listContainers, filter === undefined ? {} : { filter });
    expect(containers.map(({ id }) => id[0]).join('')).toBe(expected);
  });

  test('list and status agree on common fields', async () => {
    const { send } = four();
    const { containers } = await send(method.listContainers, { filter: { id: '2' } });
    const { status } = await send(method.containerStatus, { containerId: '2' });
    const [listed] = containers;
    for (const field of [
      'id',
      'metadata',
      'image',
      'imageRef',
      'imageId',
      'state',
      'createdAt',
      'labels',
      'annotations',
    ] as const) {
      expect(listed?.[field]).toEqual(status?.[field]);
    }
  });
});
