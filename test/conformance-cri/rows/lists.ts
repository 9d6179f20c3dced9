// ListPodSandbox, ListContainers and their streams: filters, and that a list and a status say the same.
import { ContainerState, PodSandboxState } from '../../../src/gen/runtime/v1/api_pb.ts';
import { holds, refused, same } from '../expect.ts';
import { type Group, row } from '../row.ts';
import type { Trial } from '../trial.ts';
import { eventually } from '../../support/eventually.ts';

/** Seconds: far longer than the lists take on any machine; the row ends it. */
const GRACE_S = 30n;

type ContainerFilter = NonNullable<Parameters<Trial['runtime']['listContainers']>[0]['filter']>;
type SandboxFilter = NonNullable<Parameters<Trial['runtime']['listPodSandbox']>[0]['filter']>;

const containers = async ({ runtime }: Trial, filter: ContainerFilter): Promise<string[]> =>
  (await runtime.listContainers({ filter })).containers.map(({ id }) => id).toSorted();
const pods = async ({ runtime }: Trial, filter: SandboxFilter): Promise<string[]> =>
  (await runtime.listPodSandbox({ filter })).items.map(({ id }) => id).toSorted();

interface Three {
  readonly mark: string;
  readonly created: string;
  readonly running: string;
  readonly exited: string;
}

/** One container in each state, with the label `set` in common and `which` of its own. */
async function three(t: Trial): Promise<Three> {
  const mark = t.stage.name('set');
  const labels = (which: string): { readonly labels: Record<string, string> } => ({
    labels: { set: mark, which },
  });
  const [created, running, { id: exited }] = await Promise.all([
    t.create(labels('created')),
    t.start(labels('running')),
    t.run({ ...labels('exited'), command: ['true'] }),
  ]);
  return { mark, created, running, exited };
}

async function collected<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const one of stream) all.push(one);
  return all;
}

const unknown = 'f'.repeat(64);

export const lists: Group = {
  title: 'Lists and filters',
  perHandler: false,
  rows: [
    row('ListContainers', 'without a filter: all, in every state', async (t) => {
      const { created, running, exited } = await three(t);
      const all = new Set((await t.runtime.listContainers({})).containers.map(({ id }) => id));
      same(
        [created, running, exited].filter((id) => !all.has(id)),
        [],
      );
    }),
    row('ListContainers', "never has a pod's own pause process", async (t) => {
      const pod = await t.stage.shared('sharedpid');
      const id = await t.start(
        { linux: { securityContext: { namespaceOptions: { pid: 0, network: 2 } } } },
        pod,
      );
      const found = (await t.runtime.listContainers({ filter: { podSandboxId: pod.id } })).containers;
      holds(
        found.some((one) => one.id === id) &&
          found.every(({ metadata }) => (metadata?.name ?? '') !== '' && metadata?.name !== 'POD'),
        'there is one',
      );
    }),
    ...(
      [
        ['created', ContainerState.CONTAINER_CREATED],
        ['running', ContainerState.CONTAINER_RUNNING],
        ['exited', ContainerState.CONTAINER_EXITED],
      ] as const
    ).map(([name, state]) =>
      row('ContainerFilter.state', `${name.toUpperCase()}: those and no others`, async (t) => {
        const made = await three(t);
        same(await containers(t, { state: { state }, labelSelector: { set: made.mark } }), [made[name]]);
      }),
    ),
    row('ContainerFilter.state', 'UNKNOWN: none', async (t) =>
      same(await containers(t, { state: { state: 3 }, labelSelector: { set: (await three(t)).mark } }), []),
    ),
    row('ContainerFilter.id', 'whole, and as a prefix', async (t) => {
      const id = await t.create();
      same([await containers(t, { id }), await containers(t, { id: id.slice(0, 20) })], [[id], [id]]);
    }),
    row('ContainerFilter.id', 'unknown: an empty list, no error', async (t) =>
      same(await containers(t, { id: unknown }), []),
    ),
    row('ContainerFilter.pod_sandbox_id', 'those of the pod and no others', async (t) => {
      const pod = await t.pod();
      const id = await t.create({}, pod);
      await t.create();
      same(
        [
          await containers(t, { podSandboxId: pod.id }),
          await containers(t, { podSandboxId: pod.id.slice(0, 20) }),
        ],
        [[id], [id]],
      );
    }),
    row('ContainerFilter.pod_sandbox_id', 'unknown: an empty list, no error', async (t) =>
      same(await containers(t, { podSandboxId: unknown }), []),
    ),
    row('ContainerFilter.label_selector', 'all labels must fit', async (t) => {
      const { mark, running } = await three(t);
      same((await containers(t, { labelSelector: { set: mark } })).length, 3);
      same(await containers(t, { labelSelector: { set: mark, which: 'running' } }), [running]);
      same(await containers(t, { labelSelector: { set: mark, which: 'none' } }), []);
      same(await containers(t, { labelSelector: { set: mark, constructor: 'x' } }), []);
    }),
    row('ContainerFilter', 'fields are ANDed', async (t) => {
      const { mark, running, exited } = await three(t);
      const { id: podSandboxId } = await t.plain();
      same(
        await containers(t, { id: running, state: { state: 1 }, podSandboxId, labelSelector: { set: mark } }),
        [running],
      );
      same(await containers(t, { id: exited, state: { state: 1 } }), []);
      same(await containers(t, { id: running, podSandboxId: unknown }), []);
    }),
    row(
      'ContainerFilter.state',
      'an unknown number is InvalidArgument',
      async (t) =>
        await refused(containers(t, { state: { state: 9 as ContainerState } }), 'INVALID_ARGUMENT'),
    ),
    row(
      'list and status',
      'a container: the same created_at, image_ref, image_id, image, labels, annotations, metadata, state (K)',
      async (t) => {
        const id = await t.start({
          image: { image: t.stage.ref('test/busybox:1'), userSpecifiedImage: 'busybox' },
          labels: { a: 'b' },
          annotations: { c: 'd' },
        });
        const status = await t.status(id);
        const item = (await t.runtime.listContainers({ filter: { id } })).containers[0];
        const parts = (one: typeof status | typeof item) => [
          one?.createdAt,
          one?.imageRef,
          one?.imageId,
          one?.image?.image,
          one?.image?.userSpecifiedImage,
          one?.labels,
          one?.annotations,
          one?.metadata?.name,
          one?.state,
        ];
        same(parts(item), parts(status));
      },
    ),
    row('ListContainers', "pod_sandbox_id is the pod's", async (t) => {
      const id = await t.create();
      same(
        (await t.runtime.listContainers({ filter: { id } })).containers[0]?.podSandboxId,
        (await t.plain()).id,
      );
    }),
    row('image_id', 'is what PullImage answered', async (t) =>
      same((await t.status(await t.create())).imageId, await t.stage.busybox),
    ),
    row('image', 'is the name that CreateContainer was given', async (t) => {
      await t.stage.busybox;
      same(
        (await t.status(await t.create({ image: { image: t.stage.ref('test/busybox:1') } }))).image?.image,
        t.stage.ref('test/busybox:1'),
      );
    }),
    row(
      'ContainerStatus.info',
      'only when verbose is asked for; with the keys pid and sandboxID',
      async (t) => {
        const containerId = await t.start();
        same(Object.keys((await t.runtime.containerStatus({ containerId })).info), []);
        const info = JSON.parse(
          (await t.runtime.containerStatus({ containerId, verbose: true })).info['info'] ?? 'missing',
        ) as Record<string, unknown>;
        same([typeof info['pid'], info['sandboxID']], ['number', (await t.plain()).id]);
      },
    ),
    row('ContainerStatus.info', 'has the namespaces in runtimeSpec, where scripts expect them', async (t) => {
      const { info } = await t.runtime.containerStatus({ containerId: await t.create(), verbose: true });
      const { runtimeSpec } = JSON.parse(info['info'] ?? '{}') as {
        runtimeSpec?: { linux?: { namespaces?: { type: string }[] } };
      };
      holds(
        runtimeSpec?.linux?.namespaces?.some(({ type }) => type === 'mount') === true,
        'they are not there',
      );
    }),
    row('ContainerStatus.info', 'has no value of an environment variable', async (t) => {
      const containerId = await t.start({
        envs: [{ key: 'PASSWORD', value: Buffer.from('very-secret-word') }],
      });
      const { info } = await t.runtime.containerStatus({ containerId, verbose: true });
      holds(!JSON.stringify(info).includes('very-secret-word'), 'it has');
    }),
    row('ListPodSandbox', 'without a filter: READY and NOTREADY', async (t) => {
      const [one, two] = await Promise.all([t.pod(), t.pod()]);
      await t.runtime.stopPodSandbox({ podSandboxId: two.id });
      const all = new Set((await t.runtime.listPodSandbox({})).items.map(({ id }) => id));
      same(
        [one.id, two.id].filter((id) => !all.has(id)),
        [],
      );
    }),
    row('PodSandboxFilter.state', 'READY, NOTREADY', async (t) => {
      const labels = { set: t.stage.name('set') };
      const [ready, stopped] = await Promise.all([t.pod({ labels }), t.pod({ labels })]);
      await t.runtime.stopPodSandbox({ podSandboxId: stopped.id });
      same(await pods(t, { state: { state: PodSandboxState.SANDBOX_READY }, labelSelector: labels }), [
        ready.id,
      ]);
      same(await pods(t, { state: { state: PodSandboxState.SANDBOX_NOTREADY }, labelSelector: labels }), [
        stopped.id,
      ]);
    }),
    row('PodSandboxFilter.id', 'whole, as a prefix, unknown', async (t) => {
      const { id } = await t.plain();
      same(
        [await pods(t, { id }), await pods(t, { id: id.slice(0, 20) }), await pods(t, { id: unknown })],
        [[id], [id], []],
      );
    }),
    row('PodSandboxFilter.label_selector', 'all labels must fit', async (t) => {
      const labels = { set: t.stage.name('set'), a: 'b' };
      const { id } = await t.pod({ labels });
      same(
        [await pods(t, { labelSelector: labels }), await pods(t, { labelSelector: { ...labels, a: 'c' } })],
        [[id], []],
      );
    }),
    row('PodSandboxFilter', 'fields are ANDed', async (t) => {
      const { id, config } = await t.pod();
      same(await pods(t, { id, state: { state: 0 }, labelSelector: { ...config.labels } }), [id]);
      same(await pods(t, { id, state: { state: 1 } }), []);
    }),
    row(
      'PodSandboxFilter.state',
      'an unknown number is InvalidArgument',
      async (t) => await refused(pods(t, { state: { state: 9 as PodSandboxState } }), 'INVALID_ARGUMENT'),
    ),
    row('StreamPodSandboxes', 'says the same as the list, each pod once', async (t) => {
      const { id } = await t.pod();
      const streamed = (
        await collected(t.stage.runtimeStreams.streamPodSandboxes({ filter: { id } }))
      ).flatMap(({ podSandboxes }) => podSandboxes);
      same(streamed, (await t.runtime.listPodSandbox({ filter: { id } })).items);
    }),
    row('StreamPodSandboxes', 'without a match it ends without a message', async (t) =>
      same(await collected(t.stage.runtimeStreams.streamPodSandboxes({ filter: { id: unknown } })), []),
    ),
    row('StreamContainers', 'says the same as the list, each container once', async (t) => {
      const { mark } = await three(t);
      const filter = { labelSelector: { set: mark } };
      const streamed = (await collected(t.stage.runtimeStreams.streamContainers({ filter }))).flatMap(
        (one) => one.containers,
      );
      same(streamed, (await t.runtime.listContainers({ filter })).containers);
      same(streamed.length, 3);
    }),
    row('StreamContainers', 'no message is empty', async (t) => {
      await three(t);
      same(
        (await collected(t.stage.runtimeStreams.streamContainers({}))).filter(
          (one) => one.containers.length === 0,
        ),
        [],
      );
    }),
    row('lists', 'are answered while a stop holds its grace', async (t) => {
      const { id } = await t.up('trap "" TERM; echo up; while :; do sleep 1; done');
      let isStopped = false;
      const stop = t.runtime
        .stopContainer({ containerId: id, timeout: GRACE_S })
        .then(() => (isStopped = true));
      for (let times = 0; times < 20; times += 1) await t.runtime.listContainers({});
      same((await t.status(id)).state, 1);
      holds(!isStopped, 'they waited for it');
      await t.runtime.stopContainer({ containerId: id, timeout: 0n });
      await stop;
    }),
    row('lists', 'show an ended container until it is removed', async (t) => {
      const { id } = await t.run({ command: ['true'] });
      same((await containers(t, { id })).length, 1);
      await t.runtime.removeContainer({ containerId: id });
      await eventually('it is gone', async () =>
        (await containers(t, { id })).length === 0 ? true : undefined,
      );
    }),
  ],
};
