// Requests that mean harm or are out of all proportion: a plain refusal, and the runtime goes on.
import { Client, credentials } from '@grpc/grpc-js';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { holds, refusalOf, refused, same } from '../expect.ts';
import { type Group, row } from '../row.ts';
import type { ContainerConfig } from '../stage.ts';
import { sh, type Trial } from '../trial.ts';

const lives = async ({ runtime }: Trial): Promise<void> => void (await runtime.listContainers({}));
const bytes = (text: string): Uint8Array => Buffer.from(text);

/** A plain refusal, whichever; then the runtime is asked again. */
async function refusedPlainly(t: Trial, config: ContainerConfig): Promise<void> {
  await t.createRefused(config, ['INVALID_ARGUMENT', 'RESOURCE_EXHAUSTED', 'FAILED_PRECONDITION']);
  await lives(t);
}

export const hostile: Group = {
  title: 'Hostile requests',
  perHandler: false,
  rows: [
    row(
      'size',
      '5 MiB of arguments',
      async (t) => await refusedPlainly(t, { args: Array.from({ length: 50 }, () => 'x'.repeat(100_000)) }),
    ),
    row(
      'size',
      '100000 arguments',
      async (t) => await refusedPlainly(t, { args: Array.from({ length: 100_000 }, () => 'x') }),
    ),
    row(
      'size',
      '100000 variables',
      async (t) =>
        await refusedPlainly(t, {
          envs: Array.from({ length: 100_000 }, (_none, at) => ({ key: `V${at}`, value: bytes('x') })),
        }),
    ),
    row(
      'size',
      '5000 mounts',
      async (t) =>
        await refusedPlainly(t, {
          mounts: Array.from({ length: 5000 }, (_none, at) => ({
            containerPath: `/m/${at}`,
            hostPath: '/tmp',
          })),
        }),
    ),
    row(
      'size',
      '10000 labels',
      async (t) =>
        await refusedPlainly(t, {
          labels: Object.fromEntries(Array.from({ length: 10_000 }, (_none, at) => [`l${at}`, 'x'])),
        }),
    ),
    row(
      'size',
      '3 MiB of annotations',
      async (t) => await refusedPlainly(t, { annotations: { a: 'x'.repeat(3 * 1024 * 1024) } }),
    ),
    row('size', '70000 supplemental groups', async (t) => {
      await refusedPlainly(t, {
        linux: {
          securityContext: {
            namespaceOptions: { pid: 1, network: 2 },
            supplementalGroups: Array.from({ length: 70_000 }, (_none, at) => BigInt(at)),
          },
        },
      });
    }),
    row(
      'size',
      'a path of 5000 characters',
      async (t) => await refusedPlainly(t, { workingDir: `/${'a/'.repeat(2500)}` }),
    ),
    row(
      'size',
      'a path component of 300 characters',
      async (t) => await refusedPlainly(t, { workingDir: `/${'a'.repeat(300)}` }),
    ),
    row('size', 'a message of 30 MiB is ResourceExhausted, other calls go on (F87)', async (t) => {
      const channel = new Client(`unix://${t.stage.socket}`, credentials.createInsecure(), {
        'grpc.max_send_message_length': -1,
      });
      const call = new Promise((resolve, reject) => {
        channel.makeUnaryRequest(
          '/runtime.v1.RuntimeService/Version',
          (message: Buffer) => message,
          (answer: Buffer) => answer,
          Buffer.alloc(30 * 1024 * 1024),
          (error, answer) => {
            if (error === null) resolve(answer);
            else reject(error);
          },
        );
      });
      const { code } = await refusalOf(call);
      channel.close();
      holds(code === 8 || code === 14, `code ${code}`);
      await lives(t);
    }),
    row('names', 'a label named __proto__ is a label like any other (S61)', async (t) => {
      const labels = Object.fromEntries([
        ['__proto__', 'x'],
        ['row', t.stage.name('proto')],
      ]);
      const config = await t.container();
      const id = await t.createFrom({ ...config, labels });
      same(
        Object.entries((await t.status(id)).labels).toSorted(([a], [b]) => (a < b ? -1 : 1)),
        Object.entries(labels).toSorted(([a], [b]) => (a < b ? -1 : 1)),
      );
    }),
    row('names', 'a container name with slashes and dots becomes no path', async (t) => {
      const pod = await t.pod();
      const config = await t.container({ command: ['true'] });
      const file = t.stage.name('no-path');
      const name = `../../../../tmp/${file}`;
      const made = await t
        .createFrom({ ...config, metadata: { name, attempt: 0 } }, pod)
        .catch(() => undefined);
      if (made !== undefined) same((await t.status(made)).metadata?.name, name);
      same(readdirSync('/tmp').includes(file), false);
    }),
    row('numbers', 'attempt 2^32 - 1', async (t) => {
      const pod = await t.pod({
        metadata: { name: t.stage.name('big'), namespace: 'conformance', uid: 'u', attempt: 4_294_967_295 },
      });
      same(
        (await t.runtime.podSandboxStatus({ podSandboxId: pod.id })).status?.metadata?.attempt,
        4_294_967_295,
      );
    }),
    row('numbers', 'a memory limit of 2^62 loses no digit (S62)', async (t) => {
      const id = await t.create({ linux: { resources: { memoryLimitInBytes: 2n ** 62n + 1n } } });
      same((await t.status(id)).resources?.linux?.memoryLimitInBytes, 2n ** 62n + 1n);
    }),
    row(
      'annotations',
      'those that runtimes and hooks listen to change nothing by themselves (S05, S06)',
      async (t) => {
        const id = await t.start({
          annotations: {
            'run.oci.hooks.stdout': '/tmp/cri-conformance-hook',
            'io.kubernetes.cri-o.Devices': '/dev/kmsg',
            'org.systemd.property.ExecStop': 'x',
          },
        });
        same(await t.exec(id, 'test -e /dev/kmsg || echo none'), 'none');
      },
    ),
    row(
      'deadline',
      'one that has passed when the call arrives: DeadlineExceeded, no pod is made',
      async (t) => {
        const config = t.stage.sandbox('late');
        await refused(
          t.runtime.runPodSandbox({ config, runtimeHandler: t.stage.handler }, { deadlineMs: -1000 }),
          'DEADLINE_EXCEEDED',
        );
        same((await t.runtime.listPodSandbox({ filter: { labelSelector: { ...config.labels } } })).items, []);
      },
    ),
    row('many calls', '300 lists at once are all answered', async (t) => {
      const all = await Promise.all(
        Array.from({ length: 300 }, async () => (await t.runtime.listContainers({})).containers.length),
      );
      same(all.length, 300);
    }),
    row('many calls', '100 calls that are cancelled at once do no harm (F87)', async (t) => {
      await Promise.all(
        Array.from({ length: 100 }, async () => {
          const gone = new AbortController();
          const call = t.runtime.listContainers({}, { signal: gone.signal }).then(
            () => {},
            () => {},
          );
          gone.abort();
          await call;
        }),
      );
      await lives(t);
    }),
    row('a fork bomb', 'is killed with its container', async (t) => {
      const { id } = await t.up(
        'echo up; i=0; while [ $i -lt 200 ]; do sleep 1000031 & i=$((i+1)); done; wait',
      );
      await t.runtime.stopContainer({ containerId: id, timeout: 0n });
      same((await t.status(id)).state, 2);
    }),
    row('a flood of output', '64 MiB to stdout fill the log and nothing else (F75)', async (t) => {
      const pod = await t.pod();
      const config = await t.container(sh('head -c 67108864 /dev/zero'));
      const containerId = await t.createFrom(config, pod);
      await t.runtime.startContainer({ containerId });
      await lives(t);
      await t.runtime.stopContainer({ containerId, timeout: 0n });
      holds(readdirSync(pod.logs).includes(config.logPath), join(pod.logs, config.logPath));
    }),
  ],
};
