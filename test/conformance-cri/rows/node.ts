// Version, Status, RuntimeConfig, UpdateRuntimeConfig, and calls that no contract has.
import { Client, credentials } from '@grpc/grpc-js';
import { holds, matches, refusalOf, refused, same } from '../expect.ts';
import { type Group, row } from '../row.ts';
import type { Trial } from '../trial.ts';

/** A call with bytes of our own: what the generated client would never send. */
async function raw({ stage }: Trial, method: string, bytes: Buffer): Promise<Buffer> {
  const channel = new Client(`unix://${stage.socket}`, credentials.createInsecure());
  try {
    return await new Promise((resolve, reject) => {
      channel.makeUnaryRequest(
        method,
        (message: Buffer) => message,
        (answer: Buffer) => answer,
        bytes,
        (error, answer) => {
          if (error !== null) reject(error);
          else resolve(answer ?? Buffer.alloc(0));
        },
      );
    });
  } finally {
    channel.close();
  }
}

const condition = async ({ runtime }: Trial, type: string) =>
  (await runtime.status({})).status?.conditions.find((one) => one.type === type);

export const node: Group = {
  title: 'Node',
  perHandler: false,
  rows: [
    row('Version', 'version is the 0.1.0 that every kubelet expects', async ({ runtime }) =>
      same((await runtime.version({})).version, '0.1.0'),
    ),
    row('Version', 'runtime_api_version is v1', async ({ runtime }) =>
      same((await runtime.version({})).runtimeApiVersion, 'v1'),
    ),
    row('Version', 'runtime_name and runtime_version are there', async ({ runtime }) => {
      const { runtimeName, runtimeVersion } = await runtime.version({});
      matches(runtimeName, /^\S+$/u);
      matches(runtimeVersion, /^v?\d+\.\d+\.\d+/u);
    }),
    row('Version', 'any version of the client is taken', async ({ runtime }) =>
      same((await runtime.version({ version: 'v1alpha9' })).version, '0.1.0'),
    ),
    row('Status', 'RuntimeReady is there and true', async (t) =>
      same((await condition(t, 'RuntimeReady'))?.status, true),
    ),
    row('Status', 'NetworkReady is there and true', async (t) =>
      same((await condition(t, 'NetworkReady'))?.status, true),
    ),
    row('Status', 'no condition comes twice', async ({ runtime }) => {
      const types = ((await runtime.status({})).status?.conditions ?? []).map(({ type }) => type);
      same(types.length, new Set(types).size);
    }),
    row(
      'Status.runtime_handlers',
      'the default handler is listed under the empty name',
      async ({ runtime }) => {
        same((await runtime.status({})).runtimeHandlers.filter(({ name }) => name === '').length, 1);
      },
    ),
    row(
      'Status.runtime_handlers',
      'the handler of this run is listed, with features',
      async ({ runtime, stage }) => {
        const found = (await runtime.status({})).runtimeHandlers.find(({ name }) => name === stage.handler);
        holds(found?.features !== undefined, 'no features');
      },
    ),
    row(
      'Status.features',
      'the runtime says that it honours supplemental_groups_policy',
      async ({ runtime }) => {
        same((await runtime.status({})).features?.supplementalGroupsPolicy, true);
      },
    ),
    row('Status.info', 'only when verbose is asked for', async ({ runtime }) =>
      same(Object.keys((await runtime.status({})).info), []),
    ),
    row('Status.info', 'verbose gives the key config, which is JSON', async ({ runtime }) => {
      const { info } = await runtime.status({ verbose: true });
      JSON.parse(info['config'] ?? 'missing');
    }),
    row('RuntimeConfig', 'a cgroup driver is reported, the same each time', async ({ runtime }) => {
      const first = (await runtime.runtimeConfig({})).linux?.cgroupDriver;
      holds(first === 0 || first === 1, `cgroup_driver ${first}`);
      same((await runtime.runtimeConfig({})).linux?.cgroupDriver, first);
    }),
    row('UpdateRuntimeConfig', 'a pod CIDR is taken', async ({ runtime }) => {
      same(
        Object.keys(
          await runtime.updateRuntimeConfig({
            runtimeConfig: { networkConfig: { podCidr: '10.88.0.0/16' } },
          }),
        ).filter((key) => key !== '$typeName'),
        [],
      );
    }),
    row(
      'UpdateRuntimeConfig',
      'an empty request is taken',
      async ({ runtime }) => void (await runtime.updateRuntimeConfig({})),
    ),
    row(
      'unknown RPC',
      'is Unimplemented',
      async (t) =>
        await refused(raw(t, '/runtime.v1.RuntimeService/NoSuchCall', Buffer.alloc(0)), 'UNIMPLEMENTED'),
    ),
    row(
      'unknown service',
      'v1alpha2 is Unimplemented',
      async (t) =>
        await refused(raw(t, '/runtime.v1alpha2.RuntimeService/Version', Buffer.alloc(0)), 'UNIMPLEMENTED'),
    ),
    row('bytes that are no message', 'are refused, and the next call is served', async (t) => {
      const { code } = await refusalOf(
        raw(t, '/runtime.v1.RuntimeService/RunPodSandbox', Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f])),
      );
      holds(code === 3 || code === 13, `code ${code}`);
      await t.runtime.version({});
    }),
    row('bytes that are no UTF-8 in a string', 'are refused', async (t) => {
      await refused(
        raw(t, '/runtime.v1.RuntimeService/ContainerStatus', Buffer.from([0x0a, 0x02, 0xc3, 0x28])),
        ['INVALID_ARGUMENT', 'INTERNAL'],
      );
    }),
    row('unknown fields', 'are tolerated: a newer client may send them', async (t) => {
      // field 1000, varint 1
      const answer = await raw(t, '/runtime.v1.RuntimeService/Version', Buffer.from([0xc0, 0x3e, 0x01]));
      matches(answer.toString('latin1'), /0\.1\.0/u);
    }),
    row('CheckpointContainer', 'of an unknown container: Unimplemented or NotFound', async ({ runtime }) => {
      await refused(runtime.checkpointContainer({ containerId: 'f'.repeat(64), location: '/tmp/none.tar' }), [
        'UNIMPLEMENTED',
        'NOT_FOUND',
      ]);
    }),
    row('CheckpointPod', 'of an unknown pod: Unimplemented or NotFound', async ({ runtime }) => {
      await refused(runtime.checkpointPod({ podSandboxId: 'f'.repeat(64), outputPath: '/tmp/none' }), [
        'UNIMPLEMENTED',
        'NOT_FOUND',
        'INVALID_ARGUMENT',
      ]);
    }),
    row(
      'RestorePod',
      'of a checkpoint that is not there: Unimplemented or a refusal',
      async ({ runtime }) => {
        await refused(runtime.restorePod({ checkpointPath: '/tmp/none' }), [
          'UNIMPLEMENTED',
          'NOT_FOUND',
          'INVALID_ARGUMENT',
        ]);
      },
    ),
  ],
};
