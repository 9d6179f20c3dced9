// A pod from RunPodSandbox to RemovePodSandbox: joins, repeats, what stays and what goes.
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { ContainerState, PodSandboxState } from '../../../src/gen/runtime/v1/api_pb.ts';
import { holds, refused, same } from '../expect.ts';
import { isAlive, namespaceOf } from '../host.ts';
import { type Group, row } from '../row.ts';
import { type SandboxConfig, sandboxLinux } from '../stage.ts';
import type { Trial } from '../trial.ts';
import { eventually } from '../../support/eventually.ts';

const networked: SandboxConfig = { linux: sandboxLinux({ pid: 1, network: 0 }) };

const statusOf = async ({ runtime }: Trial, podSandboxId: string) =>
  (await runtime.podSandboxStatus({ podSandboxId })).status;
const listed = async ({ runtime }: Trial, id: string) =>
  (await runtime.listPodSandbox({ filter: { id } })).items.length;

async function run(
  t: Trial,
  config: SandboxConfig,
  deadlineMs?: number,
  signal?: AbortSignal,
): Promise<string> {
  const options = {
    ...(deadlineMs === undefined ? {} : { deadlineMs }),
    ...(signal === undefined ? {} : { signal }),
  };
  const { podSandboxId } = await t.runtime.runPodSandbox(
    { config, runtimeHandler: t.stage.handler },
    options,
  );
  t.keepPod({ id: podSandboxId, config, logs: '' });
  return podSandboxId;
}

export const sandboxLife: Group = {
  title: 'Pod: life, repeats, joins',
  perHandler: false,
  rows: [
    row('RunPodSandbox', 'answers when the pod is READY', async (t) =>
      same((await statusOf(t, (await t.pod()).id))?.state, PodSandboxState.SANDBOX_READY),
    ),
    row('RunPodSandbox', 'two equal calls at once give one pod', async (t) => {
      const config = t.stage.sandbox('join', networked);
      const [one, two] = await Promise.all([run(t, config), run(t, config)]);
      same(one, two);
    }),
    row('RunPodSandbox', 'five equal calls at once give one pod', async (t) => {
      const config = t.stage.sandbox('join');
      same(new Set(await Promise.all(Array.from({ length: 5 }, async () => await run(t, config)))).size, 1);
      same(
        (await t.runtime.listPodSandbox({ filter: { labelSelector: { ...config.labels } } })).items.length,
        1,
      );
    }),
    row('RunPodSandbox', 'a client that gives up at once and asks again gets one pod', async (t) => {
      const config = t.stage.sandbox('again', networked);
      await refused(run(t, config, 10), ['DEADLINE_EXCEEDED', 'CANCELLED']);
      const id = await run(t, config);
      const { items } = await t.runtime.listPodSandbox({ filter: { labelSelector: { ...config.labels } } });
      same(
        items.map((item) => item.id),
        [id],
      );
    }),
    row('RunPodSandbox', 'a client that cancels and asks again gets one pod', async (t) => {
      const config = t.stage.sandbox('cancel', networked);
      const gone = new AbortController();
      const first = run(t, config, undefined, gone.signal);
      setImmediate(() => gone.abort());
      await refused(first, 'CANCELLED');
      const id = await run(t, config);
      const { items } = await t.runtime.listPodSandbox({ filter: { labelSelector: { ...config.labels } } });
      same(
        items.map((item) => item.id),
        [id],
      );
    }),
    row('RunPodSandbox', 'the name of a READY pod gives its id again', async (t) => {
      const { id, config } = await t.pod();
      same(await run(t, config), id);
    }),
    row(
      'RunPodSandbox',
      'the name of a stopped pod is AlreadyExists: a stopped one is never used again',
      async (t) => {
        const { id, config } = await t.pod();
        await t.runtime.stopPodSandbox({ podSandboxId: id });
        await refused(run(t, config), 'ALREADY_EXISTS');
      },
    ),
    row('metadata.attempt', 'the next attempt is another pod beside the stopped one', async (t) => {
      const { id, config } = await t.pod();
      await t.runtime.stopPodSandbox({ podSandboxId: id });
      const next = await run(t, { ...config, metadata: { ...config.metadata, attempt: 1 } });
      holds(next !== id, 'the same id');
      same(
        (await t.runtime.listPodSandbox({ filter: { labelSelector: { ...config.labels } } })).items.length,
        2,
      );
    }),
    row('RemovePodSandbox', 'frees the name', async (t) => {
      const { id, config } = await t.pod();
      await t.stage.removePod(id);
      holds((await run(t, config)) !== id, 'the same id');
    }),
    row('log_directory', 'is made when it is missing, and stays when the pod goes', async (t) => {
      const { id, logs } = await t.pod();
      holds(statSync(logs).isDirectory(), 'no directory');
      await t.stage.removePod(id);
      holds(existsSync(logs), 'the kubelet owns it, and it is gone');
    }),
    row('StopPodSandbox', 'leaves the pod listed, NOTREADY', async (t) => {
      const { id } = await t.pod();
      await t.runtime.stopPodSandbox({ podSandboxId: id });
      same((await statusOf(t, id))?.state, PodSandboxState.SANDBOX_NOTREADY);
      same(await listed(t, id), 1);
    }),
    row('StopPodSandbox', 'three times in a row is success', async (t) => {
      const { id: podSandboxId } = await t.pod();
      for (let times = 0; times < 3; times += 1) await t.runtime.stopPodSandbox({ podSandboxId });
    }),
    row('StopPodSandbox', 'five at once are all success', async (t) => {
      const { id: podSandboxId } = await t.pod(networked);
      await Promise.all(
        Array.from({ length: 5 }, async () => await t.runtime.stopPodSandbox({ podSandboxId })),
      );
    }),
    row('StopPodSandbox', 'kills the containers, which are EXITED when it answers', async (t) => {
      const pod = await t.pod();
      const ids = await Promise.all([t.start({}, pod), t.start({}, pod)]);
      const pids = await Promise.all(ids.map(async (id) => await t.pid(id)));
      await t.runtime.stopPodSandbox({ podSandboxId: pod.id });
      for (const id of ids) same((await t.status(id)).state, ContainerState.CONTAINER_EXITED);
      same(pids.filter(isAlive), []);
    }),
    row('StopPodSandbox', 'after the deadline of a first one a second one ends it', async (t) => {
      const pod = await t.pod();
      await t.start({ command: ['sh', '-c', 'trap "" TERM; while :; do sleep 1; done'] }, pod);
      await t.runtime.stopPodSandbox({ podSandboxId: pod.id }, { deadlineMs: 20 }).catch(() => {});
      await t.runtime.stopPodSandbox({ podSandboxId: pod.id });
      same((await statusOf(t, pod.id))?.state, PodSandboxState.SANDBOX_NOTREADY);
    }),
    row('StopPodSandbox', 'after RemovePodSandbox is success', async (t) => {
      const { id: podSandboxId } = await t.pod();
      await t.stage.removePod(podSandboxId);
      await t.runtime.stopPodSandbox({ podSandboxId });
    }),
    row('CreateContainer', 'in a stopped pod is refused as FailedPrecondition', async (t) => {
      const pod = await t.pod();
      await t.runtime.stopPodSandbox({ podSandboxId: pod.id });
      await t.createRefused({}, 'FAILED_PRECONDITION', undefined, pod);
    }),
    row('StartContainer', 'in a stopped pod is refused as FailedPrecondition', async (t) => {
      const pod = await t.pod();
      const containerId = await t.create({}, pod);
      await t.runtime.stopPodSandbox({ podSandboxId: pod.id });
      await refused(t.runtime.startContainer({ containerId }), 'FAILED_PRECONDITION');
    }),
    row('PortForward', 'to a stopped pod is refused as FailedPrecondition', async (t) => {
      const { id: podSandboxId } = await t.pod();
      await t.runtime.stopPodSandbox({ podSandboxId });
      await refused(t.runtime.portForward({ podSandboxId, port: [80] }), 'FAILED_PRECONDITION');
    }),
    row('RemovePodSandbox', 'of a running pod takes its containers with it', async (t) => {
      const pod = await t.pod();
      const id = await t.start({}, pod);
      const pid = await t.pid(id);
      await t.runtime.removePodSandbox({ podSandboxId: pod.id });
      await refused(t.runtime.containerStatus({ containerId: id }), 'NOT_FOUND');
      await refused(t.runtime.podSandboxStatus({ podSandboxId: pod.id }), 'NOT_FOUND');
      same(isAlive(pid), false);
    }),
    row('RemovePodSandbox', 'three times in a row is success', async (t) => {
      const { id: podSandboxId } = await t.pod();
      for (let times = 0; times < 3; times += 1) await t.runtime.removePodSandbox({ podSandboxId });
    }),
    row('RemovePodSandbox', 'five at once are all success', async (t) => {
      const { id: podSandboxId } = await t.pod(networked);
      await Promise.all(
        Array.from({ length: 5 }, async () => await t.runtime.removePodSandbox({ podSandboxId })),
      );
      same(await listed(t, podSandboxId), 0);
    }),
    row('RemovePodSandbox', 'at once with StopPodSandbox: both are success', async (t) => {
      const pod = await t.pod(networked);
      await t.start({ linux: { securityContext: { namespaceOptions: { pid: 1 } } } }, pod);
      await Promise.all([
        t.runtime.stopPodSandbox({ podSandboxId: pod.id }),
        t.runtime.removePodSandbox({ podSandboxId: pod.id }),
      ]);
      same(await listed(t, pod.id), 0);
    }),
    row('RemovePodSandbox', 'its log directory keeps the logs, which the kubelet owns', async (t) => {
      const pod = await t.pod();
      await t.run({ command: ['echo', 'hello'] }, pod);
      const before = readdirSync(pod.logs);
      await t.stage.removePod(pod.id);
      same(readdirSync(pod.logs), before);
    }),
    row('RemovePodSandbox', "leaves no process in the pod's network namespace, which goes", async (t) => {
      const pod = await t.pod(networked);
      const id = await t.start({ linux: { securityContext: { namespaceOptions: { pid: 1 } } } }, pod);
      const namespace = namespaceOf(await t.pid(id), 'net');
      await t.stage.removePod(pod.id);
      const inode = Number(/\[(\d+)\]/u.exec(namespace)?.[1]);
      await eventually('the namespace is pinned nowhere', () =>
        readFileSync('/proc/self/mountinfo', 'utf8').includes(`net:[${inode}]`) ? undefined : true,
      );
    }),
    row('pods', 'ten at once, made and removed, are all there and then all gone', async (t) => {
      const configs = Array.from({ length: 10 }, () => t.stage.sandbox('ten'));
      const made = await Promise.all(configs.map(async (config) => await t.stage.runPod(config)));
      const listing = new Set((await t.runtime.listPodSandbox({})).items.map(({ id }) => id));
      same(made.filter(({ id }) => !listing.has(id)).length, 0);
      await Promise.all(made.map(async ({ id }) => await t.stage.removePod(id)));
      const left = new Set((await t.runtime.listPodSandbox({})).items.map(({ id }) => id));
      same(made.filter(({ id }) => left.has(id)).length, 0);
    }),
  ],
};
