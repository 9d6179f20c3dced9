// RunPodSandbox: what must be refused, with which code, and that nothing is left of it.
import { readFile, writeFile } from 'node:fs/promises';
import type { Protocol } from '../../../src/gen/runtime/v1/api_pb.ts';
import type { Code } from '../expect.ts';
import { refused } from '../expect.ts';
import { type Group, row } from '../row.ts';
import { type SandboxConfig, sandboxLinux } from '../stage.ts';

type Refusal = readonly [subject: string, claim: string, change: SandboxConfig, code?: Code];

const meta = { name: 'n', namespace: 'ns', uid: 'u', attempt: 0 };
const withMeta = (change: Partial<typeof meta>): SandboxConfig => ({ metadata: { ...meta, ...change } });
const own = { pid: 1, network: 0 } as const;
const sysctl = (
  name: string,
  value: string,
  options: Parameters<typeof sandboxLinux>[0] = own,
): SandboxConfig => ({ linux: { ...sandboxLinux(options), sysctls: { [name]: value } } });
const port = (change: object): SandboxConfig => ({
  linux: sandboxLinux(own),
  portMappings: [{ containerPort: 80, hostPort: 34_567, ...change }],
});
const dns = (dnsConfig: NonNullable<SandboxConfig['dnsConfig']>): SandboxConfig => ({ dnsConfig });
const linux = (change: object): SandboxConfig => ({
  linux: { ...sandboxLinux({ pid: 1, network: 2 }), ...change },
});
const context = (change: object): SandboxConfig =>
  linux({ securityContext: { namespaceOptions: { pid: 1, network: 2 }, ...change } });

const refusals: readonly Refusal[] = [
  ['metadata.name', 'empty', withMeta({ name: '' })],
  ['metadata.namespace', 'empty', withMeta({ namespace: '' })],
  ['metadata.uid', 'empty', withMeta({ uid: '' })],
  ['metadata.name', 'with ; which would be an argument of CNI (S66)', withMeta({ name: 'a;IP=10.9.9.9' })],
  ['metadata.namespace', 'with ; and = (S66)', withMeta({ namespace: 'a;K8S_POD_NAME=other' })],
  ['metadata.uid', 'with ; (S66)', withMeta({ uid: 'a;b' })],
  ['metadata.name', 'with a line break', withMeta({ name: 'a\nb' })],
  ['metadata.name', 'with a NUL', withMeta({ name: 'a\0b' })],
  ['metadata.name', 'with an escape sequence', withMeta({ name: '\u001b[31mred' })],
  ['metadata.name', 'of 5000 characters', withMeta({ name: 'a'.repeat(5000) })],
  ['hostname', 'of 65 characters', { hostname: 'h'.repeat(65) }],
  ['hostname', 'with a line break', { hostname: 'a\nb' }],
  ['hostname', 'with a slash', { hostname: '../etc' }],
  ['log_directory', 'relative', { logDirectory: 'logs/x' }],
  ['log_directory', 'with ..', { logDirectory: '/var/log/../../etc/x' }],
  ['log_directory', 'with a line break', { logDirectory: '/tmp/a\nb' }],
  ['dns_config.servers', 'a name in place of an address', dns({ servers: ['dns.example'] })],
  [
    'dns_config.servers',
    'a line of its own behind a line break',
    dns({ servers: ['10.0.0.1\nnameserver 6.6.6.6'] }),
  ],
  ['dns_config.searches', 'with a blank', dns({ searches: ['a b'] })],
  ['dns_config.searches', 'with a line break', dns({ searches: ['a\noptions rotate'] })],
  ['dns_config.options', 'with a line break', dns({ options: ['ndots:5\nnameserver 6.6.6.6'] })],
  ['port_mappings.container_port', 'above 65535', port({ containerPort: 70_000 })],
  ['port_mappings.container_port', 'negative', port({ containerPort: -1 })],
  ['port_mappings.host_port', 'above 65535', port({ hostPort: 70_000 })],
  ['port_mappings.host_ip', 'no address', port({ hostIp: 'eth0' })],
  ['port_mappings.protocol', 'an unknown number', port({ protocol: 9 as Protocol })],
  ['linux.cgroup_parent', 'with ..', linux({ cgroupParent: '/../../x' })],
  ['linux.cgroup_parent', 'with a line break', linux({ cgroupParent: '/a\nb' })],
  ['linux.sysctls', 'kernel.panic, which no namespace holds (S01)', sysctl('kernel.panic', '1')],
  ['linux.sysctls', 'vm.overcommit_memory, which no namespace holds', sysctl('vm.overcommit_memory', '1')],
  ['linux.sysctls', 'kernel.core_pattern (S01)', sysctl('kernel.core_pattern', '|/bin/sh')],
  ['linux.sysctls', 'a name with .. (S02)', sysctl('net.ipv4/../../kernel/panic', '1')],
  ['linux.sysctls', 'a name with slashes (S02)', sysctl('kernel/shmmax/../panic', '1')],
  ['linux.sysctls', 'net.* on the host network', sysctl('net.ipv4.ip_forward', '1', { pid: 1, network: 2 })],
  [
    'linux.sysctls',
    'kernel.shm* in the host IPC namespace',
    { linux: { ...sandboxLinux({ pid: 1, network: 2, ipc: 2 }), sysctls: { 'kernel.shmmax': '1' } } },
  ],
  ['linux.sysctls', 'a value with a line break', sysctl('net.core.somaxconn', '1\n2')],
  [
    'namespace_options.pid',
    'TARGET for a sandbox',
    linux({ securityContext: { namespaceOptions: { pid: 3, network: 2 } } }),
  ],
  [
    'namespace_options.network',
    'CONTAINER',
    linux({ securityContext: { namespaceOptions: { pid: 1, network: 1 } } }),
  ],
  [
    'namespace_options.ipc',
    'a number that is no mode',
    linux({ securityContext: { namespaceOptions: { pid: 1, network: 2, ipc: 77 } } }),
  ],
  [
    'userns_options',
    'CONTAINER as mode',
    context({ namespaceOptions: { pid: 1, network: 2, usernsOptions: { mode: 1 } } }),
  ],
  [
    'userns_options',
    'no mapping at all',
    context({ namespaceOptions: { pid: 1, network: 2, usernsOptions: { mode: 0 } } }),
  ],
  [
    'userns_options',
    'two mappings',
    context({
      namespaceOptions: {
        pid: 1,
        network: 0,
        usernsOptions: {
          mode: 0,
          uids: [
            { hostId: 100_000, containerId: 0, length: 10 },
            { hostId: 200_000, containerId: 10, length: 10 },
          ],
          gids: [
            { hostId: 100_000, containerId: 0, length: 10 },
            { hostId: 200_000, containerId: 10, length: 10 },
          ],
        },
      },
    }),
  ],
  [
    'userns_options',
    'a mapping that leaves id 0 out',
    context({
      namespaceOptions: {
        pid: 1,
        network: 0,
        usernsOptions: {
          mode: 0,
          uids: [{ hostId: 100_000, containerId: 1, length: 10 }],
          gids: [{ hostId: 100_000, containerId: 1, length: 10 }],
        },
      },
    }),
  ],
  [
    'userns_options',
    'a mapping of length 0',
    context({
      namespaceOptions: {
        pid: 1,
        network: 0,
        usernsOptions: {
          mode: 0,
          uids: [{ hostId: 100_000, containerId: 0, length: 0 }],
          gids: [{ hostId: 100_000, containerId: 0, length: 0 }],
        },
      },
    }),
  ],
  ['run_as_group', 'without run_as_user', context({ runAsGroup: { value: 5n } })],
  ['run_as_user', 'negative', context({ runAsUser: { value: -1n } })],
  ['run_as_user', '2^32, which wraps round to root (S25)', context({ runAsUser: { value: 2n ** 32n } })],
  ['supplemental_groups', 'negative', context({ supplementalGroups: [-5n] })],
  [
    'seccomp',
    'Localhost with a relative path',
    context({ seccomp: { profileType: 2, localhostRef: 'profile.json' } }),
  ],
  ['seccomp', 'a number that is no type', context({ seccomp: { profileType: 9 } })],
  ['selinux_options', 'an unknown level', context({ selinuxOptions: { level: 's0:c1,c2\n' } })],
  ['windows', 'on Linux', { windows: {} }],
];

export const sandboxRefusals: Group = {
  title: 'RunPodSandbox: refusals',
  perHandler: false,
  rows: [
    row(
      'config',
      'missing is InvalidArgument',
      async ({ runtime, stage }) =>
        await refused(runtime.runPodSandbox({ runtimeHandler: stage.handler }), 'INVALID_ARGUMENT'),
    ),
    row('config.metadata', 'missing is InvalidArgument', async ({ runtime, stage }) => {
      const { metadata: _none, ...config } = stage.sandbox('nometa');
      await refused(runtime.runPodSandbox({ config, runtimeHandler: stage.handler }), 'INVALID_ARGUMENT');
    }),
    ...refusals.map(([subject, claim, change, code = 'INVALID_ARGUMENT']) =>
      row(subject, `${claim}: refused, no pod is left`, async (t) => await t.podRefused(change, code)),
    ),
    row(
      'runtime_handler',
      'an unknown one: refused, no pod is left',
      async (t) =>
        await t.podRefused({}, ['NOT_FOUND', 'INVALID_ARGUMENT'], /no-such-handler/u, 'no-such-handler'),
    ),
    row(
      'runtime_handler',
      'a path as name: refused',
      async (t) => await t.podRefused({}, ['NOT_FOUND', 'INVALID_ARGUMENT'], undefined, '../../bin/sh'),
    ),
    row('log_directory', 'a file is there already: refused, the file stays', async (t) => {
      const file = `${await t.directory()}/file`;
      await writeFile(file, 'mine');
      await t.podRefused({ logDirectory: file }, [
        'INVALID_ARGUMENT',
        'FAILED_PRECONDITION',
        'UNKNOWN',
        'INTERNAL',
        'ALREADY_EXISTS',
      ]);
      if ((await readFile(file, 'utf8')) !== 'mine') throw new Error('the file was changed');
    }),
  ],
};
