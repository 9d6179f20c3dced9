// Every RPC that takes an id: unknown, empty, ambiguous, ill-formed, and a prefix in place of the whole.
import { refused, same } from '../expect.ts';
import { type Group, type Row, row } from '../row.ts';
import type { Trial } from '../trial.ts';

type Call = (trial: Trial, id: string) => Promise<unknown>;

interface WithId {
  readonly rpc: string;
  readonly call: Call;
  /** Success for an id that nobody has. */
  readonly isIdempotent?: boolean;
}

const streams = { stdin: false, stdout: true, stderr: true, tty: false };

const ofContainer: readonly WithId[] = [
  { rpc: 'StartContainer', call: (t, containerId) => t.runtime.startContainer({ containerId }) },
  {
    rpc: 'StopContainer',
    call: (t, containerId) => t.runtime.stopContainer({ containerId, timeout: 1n }),
    isIdempotent: true,
  },
  {
    rpc: 'RemoveContainer',
    call: (t, containerId) => t.runtime.removeContainer({ containerId }),
    isIdempotent: true,
  },
  { rpc: 'ContainerStatus', call: (t, containerId) => t.runtime.containerStatus({ containerId }) },
  {
    rpc: 'UpdateContainerResources',
    call: (t, containerId) => t.runtime.updateContainerResources({ containerId, linux: { cpuShares: 100n } }),
  },
  { rpc: 'ReopenContainerLog', call: (t, containerId) => t.runtime.reopenContainerLog({ containerId }) },
  {
    rpc: 'ExecSync',
    call: (t, containerId) => t.runtime.execSync({ containerId, cmd: ['true'], timeout: 5n }),
  },
  { rpc: 'Exec', call: (t, containerId) => t.runtime.exec({ containerId, cmd: ['true'], ...streams }) },
  { rpc: 'Attach', call: (t, containerId) => t.runtime.attach({ containerId, ...streams }) },
  { rpc: 'ContainerStats', call: (t, containerId) => t.runtime.containerStats({ containerId }) },
];

const ofSandbox: readonly WithId[] = [
  {
    rpc: 'StopPodSandbox',
    call: (t, podSandboxId) => t.runtime.stopPodSandbox({ podSandboxId }),
    isIdempotent: true,
  },
  {
    rpc: 'RemovePodSandbox',
    call: (t, podSandboxId) => t.runtime.removePodSandbox({ podSandboxId }),
    isIdempotent: true,
  },
  { rpc: 'PodSandboxStatus', call: (t, podSandboxId) => t.runtime.podSandboxStatus({ podSandboxId }) },
  {
    rpc: 'CreateContainer',
    call: async (t, podSandboxId) =>
      t.runtime.createContainer({
        podSandboxId,
        config: await t.container(),
        sandboxConfig: (await t.plain()).config,
      }),
  },
  { rpc: 'PortForward', call: (t, podSandboxId) => t.runtime.portForward({ podSandboxId, port: [80] }) },
  { rpc: 'PodSandboxStats', call: (t, podSandboxId) => t.runtime.podSandboxStats({ podSandboxId }) },
  {
    rpc: 'UpdatePodSandboxResources',
    call: (t, podSandboxId) =>
      t.runtime.updatePodSandboxResources({ podSandboxId, resources: { cpuShares: 100n } }),
  },
];

type Kind = 'container' | 'sandbox';

/** Ids are random, so some are made until two begin alike; answers how. */
async function twoAlike(make: () => Promise<string>): Promise<string> {
  const seen = new Set<string>();
  // 16 first digits: the 17th can't be new
  for (let made = 0; made < 17; made += 1) {
    const first = (await make()).slice(0, 1);
    if (seen.has(first)) return first;
    seen.add(first);
  }
  throw new Error('17 ids, no two of which begin alike');
}

async function ambiguous(trial: Trial, kind: Kind): Promise<string> {
  return await twoAlike(async () => (kind === 'sandbox' ? (await trial.pod()).id : await trial.create()));
}

async function idsBeginning(trial: Trial, kind: Kind, prefix: string): Promise<string[]> {
  const all =
    kind === 'container'
      ? (await trial.runtime.listContainers({})).containers
      : (await trial.runtime.listPodSandbox({})).items;
  return all.map(({ id }) => id).filter((id) => id.startsWith(prefix));
}

function idRows(rpcs: readonly WithId[]): Row[] {
  return rpcs.flatMap(({ rpc, call, isIdempotent = false }) => [
    row(rpc, isIdempotent ? 'an unknown id is success' : 'an unknown id is NotFound', async (t) => {
      if (isIdempotent) await call(t, 'f'.repeat(64));
      else await refused(call(t, 'f'.repeat(64)), 'NOT_FOUND');
    }),
    row(rpc, 'an empty id is InvalidArgument', async (t) => await refused(call(t, ''), 'INVALID_ARGUMENT')),
    row(
      rpc,
      'an id with control characters is InvalidArgument',
      async (t) => await refused(call(t, 'abc\n\u0000/../x'), 'INVALID_ARGUMENT'),
    ),
    row(rpc, 'an id of 5000 characters is a plain refusal', async (t) => {
      await refused(call(t, 'a'.repeat(5000)), 'INVALID_ARGUMENT');
    }),
  ]);
}

/** One fixture for all RPCs: making ids until two are alike costs a few pods. */
const ambiguity: Row[] = (['container', 'sandbox'] as const).map((kind) =>
  row(
    kind === 'container' ? 'container_id' : 'pod_sandbox_id',
    'a prefix of several ids is InvalidArgument in every RPC, and all of them are still there',
    async (t) => {
      const prefix = await ambiguous(t, kind);
      for (const { call } of kind === 'container' ? ofContainer : ofSandbox)
        await refused(call(t, prefix), 'INVALID_ARGUMENT');
      same((await idsBeginning(t, kind, prefix)).length >= 2, true);
    },
  ),
);

/** What had the id is gone: as if it had never been. */
const removed: Row[] = (['container', 'sandbox'] as const).map((kind) =>
  row(
    kind === 'container' ? 'container_id' : 'pod_sandbox_id',
    'of one that was removed: Stop and Remove succeed, again and again; every other RPC answers NotFound',
    async (t) => {
      const id = kind === 'container' ? await t.start() : (await t.pod()).id;
      if (kind === 'container') await t.runtime.removeContainer({ containerId: id });
      else {
        await t.runtime.stopPodSandbox({ podSandboxId: id });
        await t.runtime.removePodSandbox({ podSandboxId: id });
      }
      for (const { call, isIdempotent = false } of kind === 'container' ? ofContainer : ofSandbox) {
        for (let times = 0; times < 2; times += 1) {
          if (isIdempotent) await call(t, id);
          else await refused(call(t, id), 'NOT_FOUND');
        }
      }
      same(await idsBeginning(t, kind, id), []);
    },
  ),
);

const prefixCalls: readonly (readonly [rpc: string, call: Call])[] = [
  ['ContainerStatus', (t, containerId) => t.runtime.containerStatus({ containerId })],
  ['ExecSync', (t, containerId) => t.runtime.execSync({ containerId, cmd: ['true'], timeout: 5n })],
  ['ContainerStats', (t, containerId) => t.runtime.containerStats({ containerId })],
  [
    'UpdateContainerResources',
    (t, containerId) => t.runtime.updateContainerResources({ containerId, linux: { cpuShares: 100n } }),
  ],
  ['StopContainer', (t, containerId) => t.runtime.stopContainer({ containerId, timeout: 0n })],
  ['RemoveContainer', (t, containerId) => t.runtime.removeContainer({ containerId })],
];

export const ids: Group = {
  title: 'Ids',
  perHandler: false,
  rows: [
    ...idRows(ofContainer),
    ...idRows(ofSandbox),
    ...ambiguity,
    ...removed,
    ...prefixCalls.map(([rpc, call]) =>
      row(rpc, 'a unique prefix of the id is taken for the whole', async (t) => {
        await call(t, (await t.start()).slice(0, 20));
      }),
    ),
    row('PodSandboxStatus', 'a unique prefix of the id is taken for the whole', async (t) => {
      const { id } = await t.plain();
      same((await t.runtime.podSandboxStatus({ podSandboxId: id.slice(0, 20) })).status?.id, id);
    }),
    row('ids', 'containers and sandboxes have ids of 64 hexadecimal digits', async (t) => {
      for (const id of [await t.create(), (await t.plain()).id]) same(/^[0-9a-f]{64}$/u.test(id), true, id);
    }),
    row('ids', 'a container id is no sandbox and a sandbox id no container', async (t) => {
      const containerId = await t.create();
      await refused(t.runtime.podSandboxStatus({ podSandboxId: containerId }), 'NOT_FOUND');
      await refused(t.runtime.containerStatus({ containerId: (await t.plain()).id }), 'NOT_FOUND');
    }),
  ],
};
