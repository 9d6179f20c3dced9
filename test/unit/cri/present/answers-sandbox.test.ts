/** Statuses and lists of sandboxes, and lists as bytes. */
import { toBinary } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import { fault } from '../../../../src/base/fault.ts';
import {
  ListContainersResponseSchema,
  ListPodSandboxResponseSchema,
  NamespaceMode,
  PodSandboxState,
  RuntimeService,
} from '../../../../src/gen/runtime/v1/api_pb.ts';
import { ListBytes } from '../../../../src/cri/present/list-bytes.ts';
import { containerList } from '../../../../src/cri/present/container.ts';
import { sandboxList } from '../../../../src/cri/present/sandbox.ts';
import type { Fields } from '../stage.ts';
import {
  strangeLabels,
  containerId,
  containerSpec,
  containerView,
  hex,
  podSpec,
  sandboxId,
  sandboxView,
  stage,
  strange,
} from '../stage.ts';

const { method } = RuntimeService;

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
      linux: {
        namespaces: {
          options: { network: NamespaceMode.POD, pid: NamespaceMode.CONTAINER, ipc: NamespaceMode.POD },
        },
      },
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
    expect(status).toMatchObject({
      state: PodSandboxState.SANDBOX_NOTREADY,
      network: { ip: '', additionalIps: [] },
    });
  });

  test('verbose: pid and the actor’s state path', async () => {
    const { send, put } = stage();
    const pause = { pid: 99, startTicks: 1n, bootId: 'b' };
    put(
      sandboxView(sandboxId('a'), { pause, path: 'stopping.network', fault: fault('outside', 'DEL failed') }),
    );
    const { info } = await send(method.podSandboxStatus, { podSandboxId: 'a', verbose: true });
    expect(JSON.parse(info['info'] ?? '')).toMatchObject({
      pid: 99,
      troupe: { state: 'stopping.network', waitingOn: '', fault: 'DEL failed' },
    });
  });

  const three = (): ReturnType<typeof stage> => {
    const made = stage();
    made.put(
      sandboxView(sandboxId('a')),
      sandboxView(sandboxId('b'), {
        ready: false,
        spec: { ...podSpec, labels: { app: 'web', tier: '__proto__' } },
      }),
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
    [
      'id and state that contradict',
      { id: hex('a'), state: { state: PodSandboxState.SANDBOX_NOTREADY } },
      '',
    ],
  ])('ListPodSandbox with %s', async (_what, filter, expected) => {
    const { items } = await three().send(method.listPodSandbox, filter === undefined ? {} : { filter });
    expect(items.map(({ id }) => id[0]).join('')).toBe(expected);
  });

  test('ListPodSandbox: an unknown state is refused', async () => {
    const status = await three().fails(method.listPodSandbox, { filter: { state: { state: strange(7) } } });
    expect(status.message).toContain('ListPodSandbox: filter.state');
  });
});

describe('lists as bytes', () => {
  test('are what protobuf encodes, whatever the length of an entry', async () => {
    const { send } = stage();
    const containers = [0, 10, 100, 1000, 20_000, 300_000].map((length, at) =>
      containerView(containerId(String(at)), {
        spec: { ...containerSpec, annotations: { a: 'x'.repeat(length), ...strangeLabels } },
      }),
    );
    const sandboxes = [
      sandboxView(sandboxId('a')),
      sandboxView(sandboxId('b'), { spec: { ...podSpec, labels: strangeLabels } }),
    ];
    const stageOfAll = stage();
    stageOfAll.put(...containers, ...sandboxes);
    const listed = await stageOfAll.send(method.listContainers, {});
    expect(listed.containers).toHaveLength(6);
    expect(containerList.answer(containers)).toEqual(toBinary(ListContainersResponseSchema, listed));
    const pods = await stageOfAll.send(method.listPodSandbox, {});
    expect(sandboxList.answer(sandboxes)).toEqual(toBinary(ListPodSandboxResponseSchema, pods));
    expect((await send(method.listContainers, {})).containers).toEqual([]);
  });

  test('an entry is encoded once while its view is unchanged', () => {
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
