/** Users, security and resources of CreateContainer that are wrong, each with the name that the client gets. */
import { describe, expect, test } from 'vitest';
import { NamespaceMode, SecurityProfile_ProfileType as Profile } from '../../../src/gen/runtime/v1/api_pb.ts';
import { hex, strange } from './stage.ts';
import type { Row } from './bad-container-fields.ts';
import { caps, context, expectRefusal, ids, limits, namespaces, pods, rpc } from './bad-container-fields.ts';

const id32 = 2n ** 32n;
const USERS: readonly Row[] = [
  ...[-1n, id32, id32 - 1n, 2n ** 31n, 2n ** 63n - 1n, -(2n ** 63n)].map((value): Row => [
    'config.linux.security_context.run_as_user',
    String(value),
    context({ runAsUser: { value } }),
  ]),
  ['config.linux.security_context.run_as_group', 'without a user', context({ runAsGroup: { value: 0n } })],
  [
    'config.linux.security_context.run_as_group',
    '2^32',
    context({ runAsUser: { value: 1n }, runAsGroup: { value: id32 } }),
  ],
  [
    'config.linux.security_context.run_as_username',
    'together with run_as_user',
    context({ runAsUser: { value: 1n }, runAsUsername: 'www' }),
  ],
  ...['0', '99999999999', '+0', ' 0', '0x0', '1e9', '-1', 'a:b', 'a b', 'a\n', '0:0', 'root\0'].map(
    (runAsUsername): Row => [
      'config.linux.security_context.run_as_username',
      JSON.stringify(runAsUsername),
      context({ runAsUsername }),
    ],
  ),
  [
    'config.linux.security_context.supplemental_groups[0]',
    'negative',
    context({ supplementalGroups: [-1n] }),
  ],
  [
    'config.linux.security_context.supplemental_groups',
    'too many',
    context({ supplementalGroups: Array.from({ length: 65_537 }, () => 1n) }),
  ],
  [
    'config.linux.security_context.supplemental_groups_policy',
    'unknown',
    context({ supplementalGroupsPolicy: strange(9) }),
  ],
];

describe('S25 S26 users', () => {
  test.each(USERS)('%s %s is refused', (field, _what, config) => expectRefusal(field, config));

  test.each(['0', '99999999999'])(
    'a user name %j is rejected as a number, whatever passwd has',
    async (runAsUsername) => {
      const { message } = await pods().fails(rpc, {
        podSandboxId: hex('a'),
        config: context({ runAsUsername }),
      });
      expect(message).toContain('is a number: set run_as_user');
    },
  );

  test('the highest id is accepted, and user 0 is not "unset"', async () => {
    const { send, asked } = pods();
    await send(rpc, {
      podSandboxId: hex('a'),
      config: context({
        runAsUser: { value: 0n },
        runAsGroup: { value: 2n ** 31n - 1n },
        supplementalGroups: [5n],
      }),
    });
    const user = { runAsUser: 0, runAsGroup: 2_147_483_647, runAsUsername: '', supplementalGroups: [5] };
    expect(asked).toMatchObject([['createContainer', { security: { user } }]]);
  });
});

const at = 'config.linux.security_context';
const SECURITY: readonly Row[] = [
  [`${at}.privileged`, 'in a sandbox that is not', context({ privileged: true })],
  [`${at}.selinux_options.type`, 'with a colon', context({ selinuxOptions: { type: 'spc_t:s0' } })],
  [`${at}.selinux_options.user`, 'with a line break', context({ selinuxOptions: { user: 'a\nb' } })],
  [`${at}.selinux_options.level`, 'that is unknown', context({ selinuxOptions: { level: 's0:c1,c2"' } })],
  [`${at}.namespace_options.network`, 'other than the sandbox', namespaces({ network: NamespaceMode.NODE })],
  [`${at}.namespace_options.network`, 'CONTAINER', namespaces({ network: NamespaceMode.CONTAINER })],
  [`${at}.namespace_options.ipc`, 'other than the sandbox', namespaces({ ipc: NamespaceMode.NODE })],
  [`${at}.namespace_options.pid`, 'unknown', namespaces({ pid: strange(4) })],
  [`${at}.namespace_options.target_id`, 'without TARGET', namespaces({ targetId: hex('1') })],
  [`${at}.namespace_options.target_id`, 'missing with TARGET', namespaces({ pid: NamespaceMode.TARGET })],
  [
    `${at}.namespace_options.target_id`,
    'unknown',
    namespaces({ pid: NamespaceMode.TARGET, targetId: hex('7') }),
  ],
  [
    `${at}.namespace_options.target_id`,
    'of another pod',
    namespaces({ pid: NamespaceMode.TARGET, targetId: hex('2') }),
  ],
  [
    `${at}.namespace_options.userns_options`,
    'POD without mappings',
    namespaces({ usernsOptions: { mode: NamespaceMode.POD } }),
  ],
  [
    `${at}.namespace_options.userns_options`,
    'in a sandbox without',
    namespaces({ usernsOptions: { mode: NamespaceMode.POD, uids: [ids], gids: [ids] } }),
  ],
  [`${at}.capabilities.add_capabilities[1]`, 'unknown', caps({ addCapabilities: ['NET_ADMIN', 'FLY'] })],
  [`${at}.capabilities.add_capabilities[0]`, 'empty', caps({ addCapabilities: [''] })],
  [
    `${at}.capabilities.add_ambient_capabilities[0]`,
    'unknown',
    caps({ addAmbientCapabilities: ['CAP_FLY'] }),
  ],
  [`${at}.capabilities.drop_capabilities[0]`, 'no name', caps({ dropCapabilities: ['A B'] })],
  [`${at}.masked_paths[0]`, 'relative', context({ maskedPaths: ['proc/kcore'] })],
  [`${at}.masked_paths[0]`, 'with ..', context({ maskedPaths: ['/proc/../etc'] })],
  [`${at}.readonly_paths[1]`, 'empty', context({ readonlyPaths: ['/proc/sys', ''] })],
  [`${at}.seccomp.profile_type`, 'unknown', context({ seccomp: { profileType: strange(8) } })],
  [
    `${at}.seccomp.localhost_ref`,
    'relative',
    context({ seccomp: { profileType: Profile.Localhost, localhostRef: 'x.json' } }),
  ],
  [
    `${at}.seccomp.localhost_ref`,
    'with ..',
    context({ seccomp: { profileType: Profile.Localhost, localhostRef: '/a/../x' } }),
  ],
  [
    `${at}.seccomp.localhost_ref`,
    'with Unconfined',
    context({ seccomp: { profileType: Profile.Unconfined, localhostRef: '/x' } }),
  ],
  [`${at}.seccomp_profile_path`, 'unknown', context({ seccompProfilePath: 'localhost' })],
  [
    `${at}.apparmor`,
    'Localhost',
    context({ apparmor: { profileType: Profile.Localhost, localhostRef: 'x' } }),
  ],
  [`${at}.apparmor.profile_type`, 'unknown', context({ apparmor: { profileType: strange(5) } })],
  [`${at}.apparmor_profile`, 'localhost/…', context({ apparmorProfile: 'localhost/x' })],
  [`${at}.apparmor_profile`, 'unknown', context({ apparmorProfile: 'x' })],
];

describe('S73 security of a container', () => {
  test.each(SECURITY)('%s %s is refused', (field, _what, config) => expectRefusal(field, config));
});

const most = 2n ** 63n - 1n;
const RESOURCES: readonly Row[] = [
  ['config.linux.resources.cpu_period', 'negative', limits({ cpuPeriod: -1n })],
  ['config.linux.resources.cpu_period', 'too short', limits({ cpuPeriod: 999n })],
  ['config.linux.resources.cpu_period', 'too long', limits({ cpuPeriod: 1_000_001n })],
  ['config.linux.resources.cpu_quota', 'too small', limits({ cpuQuota: 999n })],
  ['config.linux.resources.cpu_quota', 'above the kernel’s', limits({ cpuQuota: 2n ** 44n })],
  ['config.linux.resources.cpu_quota', '2^63-1', limits({ cpuQuota: most })],
  ['config.linux.resources.cpu_shares', 'negative', limits({ cpuShares: -2n })],
  ['config.linux.resources.cpu_shares', '1', limits({ cpuShares: 1n })],
  ['config.linux.resources.cpu_shares', 'above the kernel’s', limits({ cpuShares: 262_145n })],
  ['config.linux.resources.cpu_shares', '2^63-1', limits({ cpuShares: most })],
  ['config.linux.resources.memory_limit_in_bytes', 'negative', limits({ memoryLimitInBytes: -1n })],
  ['config.linux.resources.memory_limit_in_bytes', '-2^63', limits({ memoryLimitInBytes: -(2n ** 63n) })],
  [
    'config.linux.resources.memory_swap_limit_in_bytes',
    'below memory',
    limits({ memoryLimitInBytes: most, memorySwapLimitInBytes: most - 1n }),
  ],
  [
    'config.linux.resources.memory_swap_limit_in_bytes',
    'without memory',
    limits({ memorySwapLimitInBytes: 5n }),
  ],
  ['config.linux.resources.memory_swap_limit_in_bytes', '-2', limits({ memorySwapLimitInBytes: -2n })],
  ['config.linux.resources.oom_score_adj', '1001', limits({ oomScoreAdj: 1001n })],
  ['config.linux.resources.oom_score_adj', '-1001', limits({ oomScoreAdj: -1001n })],
  ['config.linux.resources.oom_score_adj', '2^63-1', limits({ oomScoreAdj: most })],
  ...['a', '1-', ',', '0-3,', '-1', '1 2', '1\n', '9999999'].map((cpusetCpus): Row => [
    'config.linux.resources.cpuset_cpus',
    JSON.stringify(cpusetCpus),
    limits({ cpusetCpus }),
  ]),
  ['config.linux.resources.cpuset_mems', 'no list', limits({ cpusetMems: 'x' })],
  [
    'config.linux.resources.hugepage_limits[0].page_size',
    'no size',
    limits({ hugepageLimits: [{ pageSize: '2mb', limit: 1n }] }),
  ],
  [
    'config.linux.resources.hugepage_limits[0].page_size',
    'a path',
    limits({ hugepageLimits: [{ pageSize: '../2MB', limit: 1n }] }),
  ],
  [
    'config.linux.resources.hugepage_limits[1].page_size',
    'twice',
    limits({ hugepageLimits: [{ pageSize: '2MB' }, { pageSize: '2MB', limit: 1n }] }),
  ],
  ...['memory', '../memory.max', 'memory./../x', 'memory.max/x', '', '__proto__'].map((key): Row => [
    `config.linux.resources.unified[${JSON.stringify(key)}]`,
    'no file of a controller',
    limits({ unified: { [key]: '1' } }),
  ]),
  [
    'config.linux.resources.unified["memory.max"]',
    'with a line break',
    limits({ unified: { 'memory.max': '1\n2' } }),
  ],
];

describe('S62 resources', () => {
  test.each(RESOURCES.filter(([, what]) => what !== ''))('%s %s is refused', (field, _what, config) =>
    expectRefusal(field, config),
  );

  test('values of 63 bits survive', async () => {
    const { send, asked } = pods();
    const config = limits({
      memoryLimitInBytes: most,
      memorySwapLimitInBytes: most,
      cpuShares: 262_144n,
      cpuQuota: -7n,
      cpuPeriod: 100_000n,
      oomScoreAdj: -998n,
      cpusetCpus: '0-3,7',
      hugepageLimits: [{ pageSize: '2MB', limit: 2n ** 64n - 1n }],
      unified: { 'memory.high': 'max', 'cpu.weight': '1' },
    });
    await send(rpc, { podSandboxId: hex('a'), config });
    const resources = {
      cpuPeriod: 100_000n,
      cpuQuota: -1n,
      cpuShares: 262_144n,
      memoryLimitBytes: most,
      memorySwapLimitBytes: most,
      oomScoreAdj: -998,
      cpusetCpus: '0-3,7',
      hugepageLimits: [{ pageSize: '2MB', limitBytes: 18_446_744_073_709_551_615n }],
    };
    expect(asked).toMatchObject([['createContainer', { resources }]]);
    expect(Object.keys(unifiedOf(asked))).toEqual(['cpu.weight', 'memory.high']);
  });
});

function unifiedOf(asked: readonly (readonly unknown[])[]): object {
  const spec = asked[0]?.[1] as { resources: { unified: object } };
  return spec.resources.unified;
}
