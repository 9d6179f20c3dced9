/** What is shown: Version, Status, statuses and lists of sandboxes and containers. */
import { toBinary } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import { Conditions } from '../../../src/base/conditions.ts';
import { fault } from '../../../src/base/fault.ts';
import { silentLog } from '../../../src/base/log.ts';
import {
  CgroupDriver,
  ContainerState,
  ListContainersResponseSchema,
  ListPodSandboxResponseSchema,
  MountPropagation,
  NamespaceMode,
  PodSandboxState,
  RuntimeService,
  Signal,
} from '../../../src/gen/runtime/v1/api_pb.ts';
import { ListBytes } from '../../../src/cri/present/list-bytes.ts';
import { containerList } from '../../../src/cri/present/container.ts';
import { sandboxList } from '../../../src/cri/present/sandbox.ts';
import { lostFacts } from '../../../src/daemon/lost-facts.ts';
import type { Fields } from './stage.ts';
import { containerId, containerSpec, containerView, handlers, hex, image, imageId, podSpec, sandboxId, sandboxView, stage, strange } from './stage.ts';

const { method } = RuntimeService;

describe('the runtime itself', () => {
  test('Version', async () => {
    expect(await stage().send(method.version, {})).toMatchObject({
      version: '0.1.0',
      runtimeName: 'troupe',
      runtimeVersion: '1.2.3',
      runtimeApiVersion: 'v1',
    });
  });

  test('Status: ready, the default handler first, no user namespaces before requests with them are taken', async () => {
    const { status, runtimeHandlers, features, info } = await stage().send(method.status, {});
    expect(status?.conditions).toMatchObject([
      { type: 'RuntimeReady', status: true, reason: '', message: '' },
      { type: 'NetworkReady', status: true, reason: '', message: '' },
    ]);
    expect(runtimeHandlers).toMatchObject([
      { name: '', features: { recursiveReadOnlyMounts: false, userNamespaces: true } },
      { name: 'crun', features: { recursiveReadOnlyMounts: true, userNamespaces: false } },
    ]);
    expect(features).toMatchObject({ supplementalGroupsPolicy: true, userNamespacesHostNetwork: true, mountOptions: true });
    expect(info).toEqual({});
  });

  test('Status verbose: the configuration as JSON', async () => {
    const { info } = await stage().send(method.status, { verbose: true });
    expect(JSON.parse(info['config'] ?? '')).toEqual({ root: '/var/lib/troupe' });
  });

  test.each([
    ['recovering', { notReadyReason: () => 'recovering' }, 'recovering'],
    ['on a read-only disk', { writeRefusal: () => '/var/lib/troupe cannot be written' }, '/var/lib/troupe cannot be written'],
    ['no default handler', { handlers: () => handlers.slice(1) }, 'there is no default runtime handler'],
    [
      'a default handler that does not work',
      { handlers: () => [{ name: '', ready: false, reason: 'no runc', recursiveReadOnlyMounts: false, userNamespaces: false }] },
      'no runc',
    ],
  ])('Status while %s is answered and says why', async (_what, troupe, message) => {
    const { status } = await stage(troupe).send(method.status, {});
    expect(status?.conditions[0]).toMatchObject({ type: 'RuntimeReady', status: false, reason: 'RuntimeNotReady', message });
  });

  test('F32 Status tells that the configuration could not be reloaded; the node stays ready', async () => {
    const { status } = await stage({}, { configRefusal: () => 'read configuration /etc/troupe/troupe.toml, line 3: no such key' }).send(method.status, {});
    expect(status?.conditions).toMatchObject([
      { type: 'RuntimeReady', status: true },
      { type: 'NetworkReady', status: true },
      { type: 'ConfigurationReloaded', status: false, reason: 'ConfigurationRefused', message: 'read configuration /etc/troupe/troupe.toml, line 3: no such key' },
    ]);
  });

  test('F89 Status names what the daemon works without; the node stays ready', async () => {
    const conditions = new Conditions(silentLog);
    conditions.report({ type: 'DebrisRemoved', subject: '/var/lib/troupe/trash/a', reason: 'operation not permitted' });
    const { status } = await stage({}, { conditions }).send(method.status, {});
    expect(status?.conditions).toMatchObject([
      { type: 'RuntimeReady', status: true },
      { type: 'NetworkReady', status: true },
      {
        type: 'DebrisRemoved', status: false, reason: 'DebrisLeft',
        message: '/var/lib/troupe/trash/a: operation not permitted',
      },
    ]);
  });

  test('F18 Status tells that a damaged journal may have lost facts, and where it is kept; the node stays ready', async () => {
    const message = lostFacts({ damagedKept: ['journal.7.damaged'] }, '/var/lib/troupe/journal');
    const { status } = await stage({}, { lostFacts: message }).send(method.status, {});
    expect(status?.conditions).toMatchObject([
      { type: 'RuntimeReady', status: true },
      { type: 'NetworkReady', status: true },
      { type: 'JournalWhole', status: false, reason: 'JournalDamaged', message: expect.stringContaining('/var/lib/troupe/journal/journal.7.damaged') as string },
    ]);
    expect(lostFacts({ damagedKept: [] }, '/var/lib/troupe/journal')).toBeUndefined();
  });

  test('Status without a network says so with the kubelet’s word', async () => {
    const networkStatus = () => ({ ready: false, reason: '', message: 'no conflist in /etc/cni/net.d' });
    const { status } = await stage({ networkStatus }).send(method.status, {});
    expect(status?.conditions[1]).toMatchObject({
      type: 'NetworkReady',
      status: false,
      reason: 'NetworkPluginNotReady',
      message: 'no conflist in /etc/cni/net.d',
    });
  });

  test('while recovering, Version, Status and RuntimeConfig are answered and nothing else', async () => {
    const { send, fails } = stage({ notReadyReason: () => 'recovering' });
    await send(method.version, {});
    expect((await send(method.runtimeConfig, {})).linux?.cgroupDriver).toBe(CgroupDriver.CGROUPFS);
    expect(await fails(method.listContainers, {})).toMatchObject({ code: 'unavailable' });
  });

  test('RuntimeConfig states the driver; UpdateRuntimeConfig succeeds', async () => {
    expect((await stage().send(method.runtimeConfig, {})).linux?.cgroupDriver).toBe(CgroupDriver.CGROUPFS);
    const systemd = await stage({}, { cgroupDriver: 'systemd' }).send(method.runtimeConfig, {});
    expect(systemd.linux?.cgroupDriver).toBe(CgroupDriver.SYSTEMD);
    const update = { runtimeConfig: { networkConfig: { podCidr: '10.0.0.0/24' } } };
    expect(await stage().send(method.updateRuntimeConfig, update)).toMatchObject({});
  });
});

const strangeLabels = Object.fromEntries(['__proto__', 'constructor', 'a'].map((key) => [key, `\n ${key}`]));

describe('sandboxes', () => {
  test('PodSandboxStatus', async () => {
    const { send, put } = stage();
    put(sandboxView(sandboxId('a'), { spec: { ...podSpec, annotations: strangeLabels, handler: 'crun' } }));
    const { status, info } = await send(method.podSandboxStatus, { podSandboxId: 'a' });
    expect(status).toMatchObject({
      id: hex('a'),
      metadata: { name: 'web', namespace: 'shop', uid: 'u-1', attempt: 0 },
      state: PodSandboxState.SANDBOX_READY,
      createdAt: 1_600_000_000_000_000_001n,
      network: { ip: '10.88.0.5', additionalIps: [{ ip: 'fd00::5' }] },
      linux: { namespaces: { options: { network: NamespaceMode.POD, pid: NamespaceMode.CONTAINER, ipc: NamespaceMode.POD } } },
      labels: { app: 'web' },
      runtimeHandler: 'crun',
    });
    expect(Object.entries(status?.annotations ?? {})).toEqual(Object.entries(strangeLabels));
    expect(info).toEqual({});
  });

  test('on the host network no address is shown; a stopped one is not ready and keeps its status', async () => {
    const { send, put } = stage();
    const hosts = { ...podSpec, namespaces: { ...podSpec.namespaces, network: 'node' } } as const;
    put(sandboxView(sandboxId('a'), { spec: hosts, ready: false, state: 'notReady', path: 'notReady' }));
    const { status } = await send(method.podSandboxStatus, { podSandboxId: hex('a') });
    expect(status).toMatchObject({ state: PodSandboxState.SANDBOX_NOTREADY, network: { ip: '', additionalIps: [] } });
  });

  test('verbose: pid, and where the actor is', async () => {
    const { send, put } = stage();
    const pause = { pid: 99, startTicks: 1n, bootId: 'b' };
    put(sandboxView(sandboxId('a'), { pause, path: 'stopping.network', fault: fault('outside', 'DEL failed') }));
    const { info } = await send(method.podSandboxStatus, { podSandboxId: 'a', verbose: true });
    expect(JSON.parse(info['info'] ?? '')).toMatchObject({ pid: 99, troupe: { state: 'stopping.network', waitingOn: '', fault: 'DEL failed' } });
  });

  const three = (): ReturnType<typeof stage> => {
    const made = stage();
    made.put(
      sandboxView(sandboxId('a')),
      sandboxView(sandboxId('b'), { ready: false, spec: { ...podSpec, labels: { app: 'web', tier: '__proto__' } } }),
      sandboxView(sandboxId('c'), { listed: false }),
      sandboxView(sandboxId('d'), { spec: { ...podSpec, labels: {} } }),
    );
    return made;
  };

  test.each<readonly [string, Fields<(typeof method.listPodSandbox)['input']>['filter'], string]>([
    ['no filter', undefined, 'abd'],
    ['an empty filter', {}, 'abd'],
    ['an id', { id: hex('a') }, 'a'],
    ['a prefix', { id: 'bb' }, 'b'],
    ['an unknown id', { id: 'ffff' }, ''],
    ['an unlisted id', { id: hex('c') }, ''],
    ['a state', { state: { state: PodSandboxState.SANDBOX_NOTREADY } }, 'b'],
    ['the zero state', { state: {} }, 'ad'],
    ['a label', { labelSelector: { app: 'web' } }, 'ab'],
    ['labels, all of them', { labelSelector: { app: 'web', tier: '__proto__' } }, 'b'],
    ['a label that is only inherited', { labelSelector: { toString: '' } }, ''],
    ['id and state that contradict', { id: hex('a'), state: { state: PodSandboxState.SANDBOX_NOTREADY } }, ''],
  ])('ListPodSandbox with %s', async (_what, filter, expected) => {
    const { items } = await three().send(method.listPodSandbox, filter === undefined ? {} : { filter });
    expect(items.map(({ id }) => id[0]).join('')).toBe(expected);
  });

  test('ListPodSandbox: an unknown state is refused', async () => {
    const status = await three().fails(method.listPodSandbox, { filter: { state: { state: strange(7) } } });
    expect(status.message).toContain('ListPodSandbox: filter.state');
  });
});

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

  test('ContainerStatus of a running one', async () => {
    const { send, put } = stage();
    const resources = { ...containerSpec.resources, memoryLimitBytes: 2n ** 62n, cpuQuota: -1n, oomScoreAdj: -997, unified: { a: 'b' } };
    put(containerView(containerId('1'), { spec: { ...containerSpec, resources, mounts: [mount], labels: strangeLabels } }));
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
      mounts: [{ containerPath: '/data', hostPath: '/srv', readonly: true, mountOptions: ['noexec'], propagation: MountPropagation.PROPAGATION_PRIVATE }],
      resources: { linux: { memoryLimitInBytes: 2n ** 62n, cpuQuota: -1n, oomScoreAdj: -997n, unified: { a: 'b' } } },
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
    ['the digest that was asked for', `docker.io/library/busybox@sha256:${hex('9')}`, `docker.io/library/busybox@sha256:${hex('9')}`],
    ['its first tag where the name means another image by now', 'example.test/other:1', 'docker.io/library/busybox:latest'],
    ['its first tag where only the id was told', '', 'docker.io/library/busybox:latest'],
    ['S86 no name that others have pulled it under', 'gone.test/x', 'docker.io/library/busybox:latest'],
  ])('ContainerStatus names the image, though the kubelet asks by id: %s', async (_, imageUserSpecified, shown) => {
    const repoTags = ['evil.example/x:1', 'docker.io/library/busybox:latest', 'docker.io/library/busybox:1', 'registry.k8s.io/e2e/busybox:2'];
    const { send, put } = stage({ findImage: () => image('1', { repoTags }) });
    put(containerView(containerId('1'), { spec: { ...containerSpec, imageRequested: imageId('1'), imageUserSpecified } }));
    const { status } = await send(method.containerStatus, { containerId: '1' });
    expect(status?.image).toMatchObject({ image: shown, userSpecifiedImage: imageUserSpecified });
  });

  test('ContainerStatus of a container whose image is gone names it as it was asked for', async () => {
    const { send, put } = stage({ findImage: () => undefined });
    put(containerView(containerId('1'), { spec: { ...containerSpec, imageRequested: imageId('1'), imageUserSpecified: 'example.test/a:1' } }));
    expect((await send(method.containerStatus, { containerId: '1' })).status?.image).toMatchObject({ image: 'example.test/a:1' });
  });

  test('ContainerStatus of a created one: not started, not finished; the asked signal is echoed', async () => {
    const { send, put } = stage();
    put(containerView(containerId('1'), { criState: 'created', startedAtNs: undefined, spec: { ...containerSpec, stopSignal: 'SIGCLD' } }));
    const { status } = await send(method.containerStatus, { containerId: '1' });
    expect(status).toMatchObject({ state: ContainerState.CONTAINER_CREATED, startedAt: 0n, finishedAt: 0n, stopSignal: Signal.SIGCLD });
  });

  const exit = { exitCode: 137, finishedAtNs: 5n, oomKilled: true, reason: 'OOMKilled', message: 'why', observedBy: 'exitFile' } as const;

  test('ContainerStatus of an ended one', async () => {
    const { send, put } = stage();
    put(containerView(containerId('1'), { criState: 'exited', exit }));
    const { status, info } = await send(method.containerStatus, { containerId: '1', verbose: true });
    expect(status).toMatchObject({ state: ContainerState.CONTAINER_EXITED, exitCode: 137, finishedAt: 5n, reason: 'OOMKilled', message: 'why' });
    expect(JSON.parse(info['info'] ?? '')).toMatchObject({
      sandboxID: hex('a'),
      pid: 0,
      privileged: false,
      troupe: { state: 'running', exit: { observedBy: 'exitFile', oomKilled: true } },
    });
  });

  test('ContainerStatus of one that has an image as volume tells the id, and the digest as image_ref has it', async () => {
    const { send, put } = stage({ findImage: (name) => (name === imageId('2') ? image('2', { repoDigests: [`example.test/models@sha256:${hex('8')}`] }) : undefined) });
    const volumes = ['2', '3'].map((digit) => ({ ...mount, hostPath: '', image: { id: imageId(digit), subPath: 'sub' } }));
    put(containerView(containerId('1'), { spec: { ...containerSpec, mounts: volumes } }));
    const { status } = await send(method.containerStatus, { containerId: '1' });
    expect(status?.mounts).toMatchObject([
      { image: { image: imageId('2'), imageRef: `example.test/models@sha256:${hex('8')}` }, imageSubPath: 'sub' },
      { image: { image: imageId('3'), imageRef: imageId('3') }, imageSubPath: 'sub' },
    ]);
  });

  test('verbose statuses have the OCI document where there is one', async () => {
    const text = '{"linux":{"resources":{"memory":{"limit":9223372036854771712}}}}';
    const { send, put } = stage({}, { specs: { container: async (id) => (id === containerId('1') ? text : undefined), sandbox: async () => '{"linux":{}}' } });
    put(sandboxView(sandboxId('a')), containerView(containerId('1')), containerView(containerId('2')));
    const infoOf = async (id: string): Promise<string> => (await send(method.containerStatus, { containerId: id, verbose: true })).info['info'] ?? '';
    expect(await infoOf('1')).toContain(`"runtimeSpec":${text}}`);
    expect(JSON.parse(await infoOf('1'))).toMatchObject({ pid: 4711, runtimeSpec: { linux: {} } });
    expect(JSON.parse(await infoOf('2'))).not.toHaveProperty('runtimeSpec');
    const { info } = await send(method.podSandboxStatus, { podSandboxId: 'a', verbose: true });
    expect(JSON.parse(info['info'] ?? '')).toMatchObject({ pid: 0, runtimeSpec: { linux: {} } });
  });

  test('an ended one whose exit is not known never shows the zero time', async () => {
    const { send, put } = stage();
    put(containerView(containerId('1'), { criState: 'exited', exit: undefined, effective: undefined, init: undefined }));
    const { status } = await send(method.containerStatus, { containerId: '1' });
    expect(status).toMatchObject({ exitCode: 255, reason: 'Unknown', finishedAt: 1_600_000_000_000_000_003n });
    expect(status?.user).toBeUndefined();
  });

  const four = (): ReturnType<typeof stage> => {
    const made = stage();
    const elsewhere = { ...containerSpec, key: { ...containerSpec.key, sandboxId: sandboxId('b') }, labels: {} };
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
    ['everything at once', { id: '1', podSandboxId: 'a', state: { state: ContainerState.CONTAINER_RUNNING }, labelSelector: { app: 'web' } }, '1'],
    ['a label that nobody has', { labelSelector: { __proto__x: '' } }, ''],
  ])('ListContainers with %s', async (_what, filter, expected) => {
    const { containers } = await four().send(method.listContainers, filter === undefined ? {} : { filter });
    expect(containers.map(({ id }) => id[0]).join('')).toBe(expected);
  });

  test('list and status agree on what both have', async () => {
    const { send } = four();
    const { containers } = await send(method.listContainers, { filter: { id: '2' } });
    const { status } = await send(method.containerStatus, { containerId: '2' });
    const [listed] = containers;
    for (const field of ['id', 'metadata', 'image', 'imageRef', 'imageId', 'state', 'createdAt', 'labels', 'annotations'] as const) {
      expect(listed?.[field]).toEqual(status?.[field]);
    }
  });
});

describe('lists as bytes', () => {
  test('are what protobuf encodes, whatever the length of an entry', async () => {
    const { send } = stage();
    const containers = [0, 10, 100, 1000, 20_000, 300_000].map((length, at) =>
      containerView(containerId(String(at)), { spec: { ...containerSpec, annotations: { a: 'x'.repeat(length), ...strangeLabels } } }),
    );
    const sandboxes = [sandboxView(sandboxId('a')), sandboxView(sandboxId('b'), { spec: { ...podSpec, labels: strangeLabels } })];
    const stageOfAll = stage();
    stageOfAll.put(...containers, ...sandboxes);
    const listed = await stageOfAll.send(method.listContainers, {});
    expect(listed.containers).toHaveLength(6);
    expect(containerList.answer(containers)).toEqual(toBinary(ListContainersResponseSchema, listed));
    const pods = await stageOfAll.send(method.listPodSandbox, {});
    expect(sandboxList.answer(sandboxes)).toEqual(toBinary(ListPodSandboxResponseSchema, pods));
    expect((await send(method.listContainers, {})).containers).toEqual([]);
  });

  test('an entry is encoded once for as long as its view stands', () => {
    let times = 0;
    const list = new ListBytes<object>(() => {
      times += 1;
      return new Uint8Array([times]);
    });
    const [one, two] = [{}, {}];
    expect(list.answer([one, two, one])).toEqual(new Uint8Array([10, 1, 1, 10, 1, 2, 10, 1, 1]));
    expect(list.answer([one])).toEqual(new Uint8Array([10, 1, 1]));
    expect(list.answer([])).toEqual(new Uint8Array());
    expect(times).toBe(2);
  });
});
