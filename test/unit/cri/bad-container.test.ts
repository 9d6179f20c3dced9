/**
 * Environment, log path, mounts and devices of CreateContainer that are wrong, each with the name that the client gets.
 */
import { describe, expect, test } from 'vitest';
import { MountPropagation } from '../../../src/gen/runtime/v1/api_pb.ts';
import { hex, strange } from './stage.ts';
import type { Row } from './bad-container-fields.ts';
import {
  base,
  device,
  env,
  expectRefusal,
  ids,
  imageMount,
  mount,
  pods,
  rpc,
  utf8,
} from './bad-container-fields.ts';

const BASIC: readonly Row[] = [
  ['config.metadata', 'missing', { image: { image: 'busybox' } }],
  ['config.metadata.name', 'empty', base({ metadata: { name: '' } })],
  ['config.metadata.name', 'with a line break', base({ metadata: { name: 'a\nb' } })],
  ['config.metadata.name', 'of 254 bytes', base({ metadata: { name: 'a'.repeat(254) } })],
  ['config.image.image', 'missing', { metadata: { name: 'main' } }],
  ['config.image.image', 'empty', base({ image: { image: '' } })],
  ['config.image.image', 'of 1025 bytes', base({ image: { image: 'a'.repeat(1025) } })],
  ['config.image.image', 'with a line break', base({ image: { image: 'a\nb' } })],
  ['config.image.runtime_handler', 'unknown', base({ image: { image: 'busybox', runtimeHandler: 'kata' } })],
  [
    'config.image.user_specified_image',
    'with a NUL',
    base({ image: { image: 'busybox', userSpecifiedImage: '\0' } }),
  ],
  ['config.command[1]', 'with a NUL', base({ command: ['sh', 'a\0b'] })],
  ['config.command[0]', 'longer than the kernel takes', base({ command: ['x'.repeat(131_072)] })],
  ['config.args', 'too many', base({ args: Array.from({ length: 65_537 }, () => '') })],
  [
    'config.args',
    'longer together than the kernel takes',
    base({ args: Array.from({ length: 21 }, () => 'x'.repeat(100_000)) }),
  ],
  ['config.working_dir', 'relative', base({ workingDir: 'srv' })],
  ['config.working_dir', 'with ..', base({ workingDir: '/srv/../..' })],
  ['config.working_dir', 'with a NUL', base({ workingDir: '/srv\0' })],
  ['config.stop_signal', 'unknown', base({ stopSignal: strange(66) })],
  ['config.windows', 'set', base({ windows: {} })],
  [
    'config.CDI_devices[1].name',
    'without a class',
    base({ CDIDevices: [{ name: 'nvidia.com/gpu=0' }, { name: 'nvidia.com=0' }] }),
  ],
  ...[
    '',
    'gpu',
    '/dev/x=0',
    'nvidia.com/gpu=',
    'nvidia.com/gpu=a b',
    '1vendor/gpu=0',
    'nvidia.com/gpu=-0',
    'a/../b=0',
  ].map((name): Row => [
    'config.CDI_devices[0].name',
    JSON.stringify(name),
    base({ CDIDevices: [{ name }] }),
  ]),
  [
    'config.annotations["cdi.k8s.io/x"]',
    'with an invalid name',
    base({ annotations: { 'cdi.k8s.io/x': 'nvidia.com/gpu=0,' } }),
  ],
  ['config.labels key', 'with a NUL', base({ labels: { '\0': '' } })],
  [
    'config.annotations',
    'with too many',
    base({ annotations: Object.fromEntries(Array.from({ length: 4097 }, (_none, at) => [`k${at}`, ''])) }),
  ],
];

describe('fields of a container that can be wrong', () => {
  test.each(BASIC)('%s %s is refused', (field, _what, config) => expectRefusal(field, config));
});

const ENV: readonly Row[] = [
  ['config.envs[0].key', 'empty', env('', 'x')],
  ['config.envs[0].key', 'with an equals sign', env('A=B', 'x')],
  ['config.envs[0].key', 'with a NUL', env('A\0', 'x')],
  ['config.envs[0].value', 'with a NUL', env('A', 'x\0y')],
  [
    'config.envs[0].value',
    'longer than the kernel takes once each byte that is no UTF-8 has been replaced',
    env('A', new Uint8Array(50_000).fill(0xff)),
  ],
  ['config.envs[0].value', 'longer than the kernel takes', env('A', 'x'.repeat(131_071))],
  [
    'config.envs',
    '10^5 variables',
    base({ envs: Array.from({ length: 100_000 }, (_none, at) => ({ key: `A${at}` })) }),
  ],
  ...['\n', '\r', ':'].map((sign): Row => [
    'config.envs[0].value',
    `HOME with ${JSON.stringify(sign)}`,
    env('HOME', `/root${sign}x`),
  ]),
];

describe('S04 S61 S64 environment', () => {
  test.each(ENV)('%s %s is refused', (field, _what, config) => expectRefusal(field, config));

  test('a refused value is not repeated', async () => {
    const { message } = await pods().fails(rpc, { podSandboxId: hex('a'), config: env('TOKEN', 'secret\0') });
    expect(message).not.toContain('secret');
  });

  test('LD_PRELOAD, NODE_OPTIONS, __proto__ and line breaks are ordinary variables', async () => {
    const { send, asked } = pods();
    const envs = ['LD_PRELOAD', 'NODE_OPTIONS', '__proto__', 'A'].map((key) => ({
      key,
      value: utf8('\ufeffx\ny'),
    }));
    await send(rpc, { podSandboxId: hex('a'), config: base({ envs }) });
    expect(asked).toMatchObject([
      ['createContainer', { env: envs.map(({ key }) => ({ name: key, value: '\ufeffx\ny' })) }],
    ]);
  });

  test('a secret of random bytes is accepted: each invalid byte becomes U+FFFD, as in Go', async () => {
    const { send, asked } = pods();
    const envs = [
      { key: 'REDIS_PASSWORD', value: new Uint8Array([0x61, 0xff, 0xe2, 0x82, 0x62, 0xed, 0xa0, 0x80]) },
    ];
    await send(rpc, { podSandboxId: hex('a'), config: base({ envs }) });
    expect(asked).toMatchObject([
      [
        'createContainer',
        { env: [{ name: 'REDIS_PASSWORD', value: 'a\ufffd\ufffd\ufffdb\ufffd\ufffd\ufffd' }] },
      ],
    ]);
  });
});

const LOGS: readonly Row[] = [
  '/var/log/x',
  '../x',
  'a/../../x',
  'a/..',
  'a/',
  '.',
  'a/.',
  'a\nb',
  'a\0b',
  'x'.repeat(256),
  'a/'.repeat(2048).concat('x'),
].map((logPath) => ['config.log_path', JSON.stringify(logPath.slice(0, 20)), base({ logPath })]);

describe('S09 S75 log_path', () => {
  test.each(LOGS)('%s %s is refused', (field, _what, config) => expectRefusal(field, config));

  test.each(['main/0.log', 'a b.log', '..log', ''])('%j is accepted', async (logPath) => {
    const { send, asked } = pods();
    await send(rpc, { podSandboxId: hex('a'), config: base({ logPath }) });
    expect(asked).toMatchObject([['createContainer', { logPath }]]);
  });
});

const MOUNTS: readonly Row[] = [
  ['config.mounts[0].container_path', 'empty', mount({ containerPath: '' })],
  ['config.mounts[0].container_path', 'relative', mount({ containerPath: 'data' })],
  ['config.mounts[0].container_path', 'the root', mount({ containerPath: '/' })],
  ['config.mounts[0].container_path', 'the root, hidden', mount({ containerPath: '//./' })],
  ['config.mounts[0].container_path', 'with ..', mount({ containerPath: '/data/../../etc' })],
  ['config.mounts[0].container_path', 'with a NUL', mount({ containerPath: '/data\0' })],
  ['config.mounts[0].host_path', 'empty', mount({ hostPath: '' })],
  ['config.mounts[0].host_path', 'relative', mount({ hostPath: 'srv' })],
  ['config.mounts[0].host_path', 'with ..', mount({ hostPath: '/srv/../etc' })],
  ['config.mounts[0].propagation', 'unknown', mount({ propagation: strange(3) })],
  ['config.mounts[0].recursive_read_only', 'without readonly', mount({ recursiveReadOnly: true })],
  [
    'config.mounts[0].recursive_read_only',
    'with propagation',
    mount({
      recursiveReadOnly: true,
      readonly: true,
      propagation: MountPropagation.PROPAGATION_HOST_TO_CONTAINER,
    }),
  ],
  ['config.mounts[0].gidMappings', 'missing beside uidMappings', mount({ uidMappings: [ids] })],
  ['config.mounts[0].uidMappings', 'missing beside gidMappings', mount({ gidMappings: [ids] })],
  [
    'config.mounts[0].gidMappings',
    'of another length',
    mount({ uidMappings: [ids], gidMappings: [{ ...ids, length: 2 }] }),
  ],
  ['config.mounts[0].host_path', 'beside an image', imageMount({ hostPath: '/srv' })],
  ['config.mounts[0].readonly', 'not set for an image', imageMount({ readonly: false })],
  [
    'config.mounts[0].propagation',
    'of an image',
    imageMount({ propagation: MountPropagation.PROPAGATION_BIDIRECTIONAL }),
  ],
  ['config.mounts[0].image_sub_path', 'with ..', imageMount({ imageSubPath: 'a/../../x' })],
  ['config.mounts[0].image_sub_path', 'absolute', imageMount({ imageSubPath: '/x' })],
  ['config.mounts[0].image.image', 'with a line break', imageMount({ image: { image: 'a\nb' } })],
  ['config.mounts[0].container_path', 'of an image the root', imageMount({ containerPath: '/' })],
  ['config.mounts[0].image_sub_path', 'without an image', mount({ imageSubPath: 'x' })],
  ['config.mounts[0].mount_options[1]', 'that is unknown', mount({ mountOptions: ['noexec', 'exec'] })],
  ['config.mounts[0].mount_options[0]', 'with several in one', mount({ mountOptions: ['noexec,rw'] })],
  [
    'config.mounts',
    'too many',
    base({ mounts: Array.from({ length: 1025 }, () => ({ containerPath: '/a', hostPath: '/b' })) }),
  ],
  ['config.devices[0].container_path', 'relative', device({ containerPath: 'dev/x' })],
  ['config.devices[0].container_path', 'with ..', device({ containerPath: '/dev/../x' })],
  ['config.devices[0].host_path', 'empty', device({ hostPath: '' })],
  ['config.devices[0].permissions', 'with another letter', device({ permissions: 'rwx' })],
  ['config.devices[0].permissions', 'with a letter twice', device({ permissions: 'rr' })],
  [
    'config.devices',
    'too many',
    base({ devices: Array.from({ length: 1025 }, () => ({ containerPath: '/a', hostPath: '/b' })) }),
  ],
];

describe('S45 S71 mounts and devices', () => {
  test.each(MOUNTS)('%s %s is refused', (field, _what, config) => expectRefusal(field, config));

  test('selinux_relabel is always accepted: without SELinux nothing is labelled', async () => {
    for (const selinuxEnabled of [false, true]) {
      const made = pods({}, { selinuxEnabled });
      await made.send(rpc, { podSandboxId: hex('a'), config: mount({ selinuxRelabel: true }) });
      expect(made.asked).toMatchObject([['createContainer', { mounts: [{ selinuxRelabel: true }] }]]);
    }
  });

  test('a refusal of recursive read-only has the word that the kubelet expects', async () => {
    const config = mount({ readonly: true, recursiveReadOnly: true });
    const status = await pods().fails(rpc, { podSandboxId: hex('a'), config });
    expect(status.code).toBe('unknown');
    expect(status.message).toMatch(/^RROUnsupported: .*config\.mounts\[0\]\.recursive_read_only/u);
    const able = pods();
    await able.send(rpc, { podSandboxId: hex('b'), config });
    expect(able.asked).toMatchObject([
      ['createContainer', { mounts: [{ recursiveReadOnly: true, readonly: true }] }],
    ]);
  });
});
