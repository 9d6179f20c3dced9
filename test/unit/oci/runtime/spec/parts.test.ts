/** The small pure parts: signals, seccomp profiles, log paths, mounts above a path, layout, the ELF file. */
import { describe, expect, test } from 'vitest';
import {
  cgroupParentOf,
  containerCgroup,
  createLayout,
  pauseCgroup,
  sandboxCgroup,
} from '../../../../../src/host/sandbox/layout.ts';
import { parseMountInfo } from '../../../../../src/host/mounts/mountinfo.ts';
import { effectiveLogPath } from '../../../../../src/oci/runtime/bundle/bundle-log.ts';
import {
  hardOpenFiles,
  pageSizeOf,
  refusedPrograms,
} from '../../../../../src/oci/runtime/bundle/host/bundle-host.ts';
import { mountOver } from '../../../../../src/host/mounts/mountinfo.ts';
import { checkMounts } from '../../../../../src/oci/runtime/bundle/host/bundle-mounts.ts';
import { pauseElf } from '../../../../../src/oci/runtime/pause-process/elf.ts';
import { capabilitiesOfMask } from '../../../../../src/oci/runtime/spec/capabilities.ts';
import { defaultSeccomp } from '../../../../../src/oci/runtime/spec/seccomp.ts';
import { parseSeccompProfile } from '../../../../../src/oci/runtime/spec/seccomp-profile.ts';
import { signalName, signalNames, signalNumber } from '../../../../../src/oci/runtime/spec/signals.ts';
import { CONTAINER_ID, host, SANDBOX_ID, mountOf } from './fixtures.ts';
import { faultBy } from '../../../../support/fault-of.ts';

describe('signals', () => {
  test.each([
    ['SIGTERM', 15],
    ['term', 15],
    ['SIGNAL_SIGTERM', 15],
    ['15', 15],
    ['SIGCLD', 17],
    ['SIGCHLD', 17],
    ['SIGIOT', 6],
    ['SIGPOLL', 29],
    ['SIGRTMIN', 34],
    ['SIGRTMIN+3', 37],
    ['RTMIN+3', 37],
    ['SIGRTMINPLUS3', 37],
    ['SIGRTMIN+15', 49],
    ['SIGRTMAXMINUS14', 50],
    ['SIGRTMAX-14', 50],
    ['SIGRTMAX', 64],
    ['SIGRTMIN+30', 64],
    ['37', 37],
  ])('%s is %d', (name, number) => expect(signalNumber(name)).toBe(number));

  test.each([
    '',
    '0',
    '32',
    '33',
    '65',
    '015',
    '-9',
    '9 ',
    '1e1',
    'SIG',
    'SIGFOO',
    'SIGRTMIN+31',
    'SIGRTMIN-1',
    'SIGRTMAX+1',
    'SIGTERM\n',
    'x'.repeat(100),
    '__proto__',
    'toString',
  ])('%j is not a signal', (name) => expect(signalNumber(name)).toBeUndefined());

  test('every number but 32 and 33 has one name that leads back to it', () => {
    const numbers = new Set(signalNames().values());
    expect([...numbers].sort((a, b) => a - b)).toEqual(
      Array.from({ length: 64 }, (_item, at) => at + 1).filter((number) => number !== 32 && number !== 33),
    );
    for (const number of numbers) expect(signalNumber(signalName(number) ?? '')).toBe(number);
    expect([37, 49, 50].map(signalName)).toEqual(['SIGRTMIN+3', 'SIGRTMIN+15', 'SIGRTMAX-14']);
  });
});

describe('the built-in seccomp profile', () => {
  const allowed = (caps: readonly string[]): ReadonlySet<string> =>
    new Set(
      defaultSeccomp(host, caps)
        .syscalls.filter(({ action, args }) => action === 'SCMP_ACT_ALLOW' && args === undefined)
        .flatMap(({ names }) => names),
    );

  test('denies dangerous calls without their capability', () => {
    const names = allowed([]);
    for (const name of [
      'mount',
      'umount2',
      'unshare',
      'setns',
      'clone',
      'clone3',
      'bpf',
      'keyctl',
      'add_key',
      'request_key',
      'userfaultfd',
      'perf_event_open',
      'io_uring_setup',
      'io_uring_enter',
      'io_uring_register',
      'kexec_load',
      'init_module',
      'open_by_handle_at',
      'reboot',
      'swapon',
      'ptrace_',
      'socket',
      'socketcall',
      'personality',
      'pivot_root',
      'chroot',
      'vhangup',
      'syslog',
    ]) {
      expect(names.has(name)).toBe(false);
    }
    for (const name of [
      'read',
      'execve',
      'futex',
      'rt_sigaction',
      'pause',
      'ppoll',
      'close_range',
      'faccessat2',
      'statx',
      'rseq',
    ])
      expect(names.has(name)).toBe(true);
  });

  test('allows groups of calls by capability', () => {
    expect(allowed(['CAP_SYS_ADMIN']).has('mount')).toBe(true);
    expect(allowed(['CAP_SYS_CHROOT']).has('chroot')).toBe(true);
    expect(allowed(['CAP_BPF']).has('bpf')).toBe(true);
  });
});

describe('a seccomp profile of the node', () => {
  const conditions = { arch: 'x64', capabilities: ['CAP_CHOWN'], kernelRelease: '5.14.0' } as const;
  const parse = (text: string): unknown => parseSeccompProfile(Buffer.from(text), '/p', conditions);

  test('an OCI document is used unchanged, 64-bit values with all digits', () => {
    const text =
      '{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":1,"architectures":["SCMP_ARCH_X86_64"],"flags":["SECCOMP_FILTER_FLAG_LOG"],' +
      '"syscalls":[{"names":["x"],"action":"SCMP_ACT_ALLOW","args":[{"index":1,"value":18446744073709551615,"op":"SCMP_CMP_EQ"}]}]}';
    expect(parse(text)).toEqual({
      defaultAction: 'SCMP_ACT_ERRNO',
      defaultErrnoRet: 1,
      architectures: ['SCMP_ARCH_X86_64'],
      flags: ['SECCOMP_FILTER_FLAG_LOG'],
      syscalls: [
        {
          names: ['x'],
          action: 'SCMP_ACT_ALLOW',
          args: [{ index: 1, value: 18446744073709551615n, valueTwo: 0n, op: 'SCMP_CMP_EQ' }],
        },
      ],
    });
  });

  test("conditions of Docker's form", () => {
    const rule = (name: string, more: object): object => ({
      names: [name],
      action: 'SCMP_ACT_ALLOW',
      ...more,
    });
    const syscalls = [
      rule('cap', { includes: { caps: ['CAP_CHOWN'] } }),
      rule('no-cap', { includes: { caps: ['CAP_CHOWN', 'CAP_BPF'] } }),
      rule('not-cap', { excludes: { caps: ['CAP_CHOWN'] } }),
      rule('arch', { includes: { arches: ['amd64', 'arm64'] } }),
      rule('other-arch', { includes: { arches: ['s390x'] } }),
      rule('not-arch', { excludes: { arches: ['amd64'] } }),
      rule('kernel', { includes: { minKernel: '5.14' } }),
      rule('newer', { includes: { minKernel: '6.0' } }),
      rule('older', { excludes: { minKernel: '4.8' } }),
      { name: 'old-form', action: 'SCMP_ACT_ALLOW', args: null },
    ];
    const profile = parseSeccompProfile(
      Buffer.from(JSON.stringify({ defaultAction: 'SCMP_ACT_ERRNO', syscalls })),
      '/p',
      conditions,
    );
    expect(profile.syscalls.flatMap(({ names }) => names)).toEqual(['cap', 'arch', 'kernel', 'old-form']);
  });

  test.each([
    '',
    '{',
    '[]',
    '1',
    '{}',
    '{"defaultAction":"ALLOW"}',
    '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":{}}',
    '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"action":"SCMP_ACT_ALLOW"}]}',
    '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["x"],"action":"allow"}]}',
    '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":[1],"action":"SCMP_ACT_ALLOW"}]}',
    '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["x"],"action":"SCMP_ACT_ALLOW","args":[{"index":6,"op":"SCMP_CMP_EQ"}]}]}',
    '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["x"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":-1,"op":"SCMP_CMP_EQ"}]}]}',
    '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["x"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"op":"EQ"}]}]}',
    '{"defaultAction":"SCMP_ACT_ALLOW","defaultAction":"SCMP_ACT_ERRNO"}',
    '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["x"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"new"}}]}',
    `{"defaultAction":"SCMP_ACT_ALLOW","x":${'['.repeat(100_000)}`,
  ])('S61, S73: refused case %#', (text) =>
    expect(faultBy(() => parse(text))).toMatchObject({ kind: 'invalidRequest', subject: '/p' }),
  );

  test('more rules than the kernel could take are refused', () => {
    const rule = { names: ['x'], action: 'SCMP_ACT_ALLOW' };
    const text = JSON.stringify({
      defaultAction: 'SCMP_ACT_ERRNO',
      syscalls: Array.from({ length: 4097 }, () => rule),
    });
    expect(faultBy(() => parse(text)).kind).toBe('invalidRequest');
  });
});

describe('S09, S32, S75: the log path', () => {
  test('is joined; an empty one means no log', () => {
    expect(effectiveLogPath('/var/log/pods/x', 'app/0.log')).toBe('/var/log/pods/x/app/0.log');
    expect(effectiveLogPath('', '')).toBe('');
  });
  test.each([
    ['relative', '0.log', 'log_directory'],
    ['/a/../b', '0.log', 'log_directory'],
    ['/a\0', '0.log', 'log_directory'],
    ['/a', '/0.log', 'log_path'],
    ['/a', '../0.log', 'log_path'],
    ['/a', 'x/../../0.log', 'log_path'],
    ['/a', 'x/', 'log_path'],
    ['/a', './x', 'log_path'],
    ['/a', 'x'.repeat(4096), 'log_path'],
    ['/a:b', '0.log', 'log_directory'],
    ['/a', 'image:1/0.log', 'log_path'],
  ])('%j and %j', (directory, path, subject) => {
    expect(faultBy(() => effectiveLogPath(directory, path))).toMatchObject({
      kind: 'invalidRequest',
      subject,
    });
  });
});

describe('mounts of the host', () => {
  const info = parseMountInfo(
    [
      '1 0 8:1 / / rw shared:1 - ext4 /dev/sda rw',
      '2 1 0:5 / /data rw - tmpfs a rw',
      '3 1 0:6 / /data rw master:2 - tmpfs b rw',
      '',
    ].join('\n'),
  );
  test('finds the mount of a path', () => {
    expect(mountOver('/data/x', info)?.source).toBe('b');
    expect(mountOver('/data', info)?.source).toBe('b');
    expect(mountOver('/database', info)?.source).toBe('/dev/sda');
    expect(mountOver('/x', [])).toBeUndefined();
  });
  test('refuses too many mounts before any is read', () => {
    expect(faultBy(() => checkMounts(Array.from({ length: 1025 }, () => mountOf('/x'))))).toMatchObject({
      kind: 'invalidRequest',
      subject: 'mounts',
    });
  });
});

describe('layout', () => {
  const layout = createLayout({ root: '/r', state: '/s' });
  test('everything is below the two roots', () => {
    expect(layout.configJson(CONTAINER_ID)).toBe(`/s/containers/${CONTAINER_ID}/bundle/config.json`);
    expect(layout.rootfs(CONTAINER_ID)).toBe(`/r/containers/${CONTAINER_ID}/rootfs`);
    expect(layout.pin(SANDBOX_ID, 'net')).toBe(`/s/ns/${SANDBOX_ID}/net`);
    expect(layout.runtimeRoot('runc')).toBe('/s/runtimes/runc');
  });
  test.each(['', '..', '../x', 'a/b', '-x', 'x'.repeat(64)])('handler %j gets no directory', (name) => {
    expect(faultBy(() => layout.runtimeRoot(name)).kind).toBe('invalidRequest');
  });
  test('relative roots and parents with .. are refused', () => {
    expect(faultBy(() => createLayout({ root: 'r', state: '/s' })).kind).toBe('invalidRequest');
    expect(faultBy(() => cgroupParentOf('/kubepods/../x')).subject).toBe('linux.cgroup_parent');
  });
  test('cgroups', () => {
    expect(containerCgroup('', CONTAINER_ID)).toBe(`/troupe/troupe-${CONTAINER_ID}`);
    expect(sandboxCgroup('kubepods/pod1', SANDBOX_ID)).toBe(`/kubepods/pod1/troupe-sandbox-${SANDBOX_ID}`);
    expect(pauseCgroup('/kubepods', SANDBOX_ID)).toBe(`/kubepods/troupe-sandbox-${SANDBOX_ID}/pause`);
  });
});

test('facts of the host', () => {
  expect(capabilitiesOfMask('0000000000000401')).toEqual(['CAP_CHOWN', 'CAP_NET_BIND_SERVICE']);
  expect(
    hardOpenFiles(
      'Limit  Soft  Hard\nMax open files            1024                 524288               files\n',
    ),
  ).toBe(524_288);
  expect(hardOpenFiles('Max open files            unlimited            unlimited            files\n')).toBe(
    1_048_576,
  );
  expect(['hugepages-2048kB', 'hugepages-1048576kB', 'hugepages-64kB', 'other'].map(pageSizeOf)).toEqual([
    '2MB',
    '1GB',
    '64KB',
    undefined,
  ]);
});

test.each([
  ['x64', 62],
  ['arm64', 183],
] as const)(
  'the pause program for %s is an executable of one segment that is never writable',
  (arch, machine) => {
    const elf = Buffer.from(pauseElf(arch));
    expect(elf.subarray(0, 4).toString('latin1')).toBe('\u007fELF');
    expect(elf.readUInt16LE(18)).toBe(machine);
    const entry = Number(elf.readBigUInt64LE(24)) - 0x400000;
    expect(entry).toBe(64 + 2 * 56);
    expect(elf.readUInt32LE(64 + 4)).toBe(5);
    expect(Number(elf.readBigUInt64LE(64 + 32))).toBe(elf.length);
    // the last 32 bytes are the sigaction: SIG_IGN and zeros
    expect(elf.subarray(-32).toString('hex')).toBe(`01${'00'.repeat(31)}`);
    expect((elf.length - 32 - entry) % 8).toBe(0);
  },
);

test.each([
  ['Seccomp:\t0\n', false, true, false, ['x32']],
  ['Seccomp:\t0\n', true, true, false, []],
  ['', false, true, true, ['ia32', 'x32']],
  ['', false, false, true, ['x32']],
])(
  '%j, x32 %j, /proc/sys %j, no file of IA-32 %j: the kernel refuses %j',
  (status, x32, showsKernel, lacksIa32, refused) => {
    expect(refusedPrograms({ status, runsX32: () => x32, showsKernel, lacksIa32 })).toEqual(refused);
  },
);

test('a daemon under a seccomp filter makes no call with an x32 number', () => {
  const facts = { status: 'Seccomp:\t2\n', showsKernel: true, lacksIa32: false };
  const runsX32 = (): boolean => {
    throw new Error('asked');
  };
  expect(refusedPrograms({ ...facts, runsX32 })).toEqual([]);
});
