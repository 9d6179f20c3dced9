// ContainerConfig: what the process may do and what it sees. Capabilities, seccomp, paths, terminal, devices.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { holds, matches, same } from '../expect.ts';
import { statusOf } from '../host.ts';
import { type Row, row } from '../row.ts';
import type { ContainerConfig } from '../stage.ts';
import { resources, security, type Trial } from '../trial.ts';

/** Numbers of capabilities (include/uapi/linux/capability.h). */
const CAPS = {
  chown: 0,
  netBindService: 10,
  netAdmin: 12,
  netRaw: 13,
  sysChroot: 18,
  sysAdmin: 21,
  mknod: 27,
} as const;
type Set = 'CapBnd' | 'CapEff' | 'CapPrm' | 'CapInh' | 'CapAmb';

async function caps(
  t: Trial,
  change: ContainerConfig,
): Promise<(set: Set, name: keyof typeof CAPS) => boolean> {
  const text = await t.output('cat /proc/self/status', change);
  return (set, name) => {
    const mask = BigInt(`0x${new RegExp(`^${set}:\\s*(\\w+)`, 'mu').exec(text)?.[1] ?? '0'}`);
    return ((mask >> BigInt(CAPS[name])) & 1n) === 1n;
  };
}

const capabilities = (
  add: readonly string[],
  drop: readonly string[] = [],
  ambient: readonly string[] = [],
): ContainerConfig =>
  security({
    capabilities: {
      addCapabilities: [...add],
      dropCapabilities: [...drop],
      addAmbientCapabilities: [...ambient],
    },
  });

const profileDenying = (...syscalls: readonly string[]): string =>
  JSON.stringify({
    defaultAction: 'SCMP_ACT_ALLOW',
    syscalls: [{ names: syscalls, action: 'SCMP_ACT_ERRNO', errnoRet: 95 }],
  });

/** Of the group "the process", after its other rows. */
export const rights: readonly Row[] = [
  row('capabilities', 'default: CHOWN and NET_BIND_SERVICE, neither SYS_ADMIN nor NET_ADMIN', async (t) => {
    const has = await caps(t, {});
    same(
      (['chown', 'netBindService', 'sysAdmin', 'netAdmin'] as const).map((name) => has('CapEff', name)),
      [true, true, false, false],
    );
  }),
  row('capabilities', 'the inheritable set is empty (CVE-2022-24769)', async (t) =>
    matches(await t.output('cat /proc/self/status', capabilities(['NET_ADMIN'])), /^CapInh:\s*0+$/mu),
  ),
  row('capabilities', 'one added, with and without CAP_, in any case', async (t) => {
    const has = await caps(t, capabilities(['net_admin', 'CAP_SYS_CHROOT']));
    same(
      [has('CapEff', 'netAdmin'), has('CapBnd', 'netAdmin'), has('CapPrm', 'sysChroot')],
      [true, true, true],
    );
  }),
  row('capabilities', 'one dropped', async (t) =>
    same((await caps(t, capabilities([], ['CHOWN'])))('CapBnd', 'chown'), false),
  ),
  row('capabilities', 'drop ALL leaves none', async (t) =>
    matches(await t.output('cat /proc/self/status', capabilities([], ['ALL'])), /^CapBnd:\s*0+$/mu),
  ),
  row('capabilities', 'drop ALL and add one: only that one', async (t) => {
    matches(
      await t.output('cat /proc/self/status', capabilities(['NET_BIND_SERVICE'], ['ALL'])),
      /^CapBnd:\s*0*400$/mu,
    );
  }),
  row('capabilities', 'add ALL and drop one: all but that one', async (t) => {
    const has = await caps(t, capabilities(['ALL'], ['NET_RAW']));
    same([has('CapEff', 'sysAdmin'), has('CapEff', 'netRaw')], [true, false]);
  }),
  row('capabilities', 'an unknown one to drop is no matter', async (t) =>
    same((await caps(t, capabilities([], ['NO_SUCH_CAP'])))('CapEff', 'chown'), true),
  ),
  row('capabilities', 'none is effective for another user', async (t) => {
    matches(
      await t.output(
        'cat /proc/self/status',
        security({ runAsUser: { value: 1000n }, capabilities: { addCapabilities: ['NET_ADMIN'] } }),
      ),
      /^CapEff:\s*0+$/mu,
    );
  }),
  row('add_ambient_capabilities', 'is in all five sets, and effective for another user (K)', async (t) => {
    const has = await caps(
      t,
      security({ runAsUser: { value: 1000n }, capabilities: { addAmbientCapabilities: ['NET_ADMIN'] } }),
    );
    same(
      (['CapAmb', 'CapInh', 'CapPrm', 'CapEff', 'CapBnd'] as const).map((set) => has(set, 'netAdmin')),
      [true, true, true, true, true],
    );
  }),
  row('no_new_privs', 'true and false', async (t) => {
    matches(await t.output('cat /proc/self/status', security({ noNewPrivs: true })), /^NoNewPrivs:\s*1$/mu);
    matches(await t.output('cat /proc/self/status', security({ noNewPrivs: false })), /^NoNewPrivs:\s*0$/mu);
  }),
  row('seccomp', 'RuntimeDefault: a filter that refuses unshare(NEWUSER) and mount', async (t) => {
    const text = await t.output(
      'cat /proc/self/status; unshare -U true || echo refused',
      security({ seccomp: { profileType: 0 } }),
    );
    matches(text, /^Seccomp:\s*2$/mu);
    matches(text, /^refused$/mu);
  }),
  row('seccomp', 'Unconfined, and nothing said: no filter', async (t) => {
    matches(
      await t.output('cat /proc/self/status', security({ seccomp: { profileType: 1 } })),
      /^Seccomp:\s*0$/mu,
    );
    matches(await t.output('cat /proc/self/status'), /^Seccomp:\s*0$/mu);
  }),
  row('seccomp', 'Localhost: the profile is in force', async (t) => {
    const file = join(await t.directory(), 'profile.json');
    // arm64 has no mkdir
    writeFileSync(file, profileDenying('mkdir', 'mkdirat'));
    matches(
      (
        await t.run({
          command: ['mkdir', '/tmp/x'],
          ...security({ seccomp: { profileType: 2, localhostRef: file } }),
        })
      ).stderr,
      /not supported/u,
    );
  }),
  row('seccomp', 'is in force for ExecSync, too', async (t) => {
    const id = await t.start(security({ seccomp: { profileType: 0 } }));
    matches(await t.exec(id, 'cat /proc/self/status'), /^Seccomp:\s*2$/mu);
  }),
  row('seccomp_profile_path', 'the old field: runtime/default', async (t) =>
    matches(
      await t.output('cat /proc/self/status', security({ seccompProfilePath: 'runtime/default' })),
      /^Seccomp:\s*2$/mu,
    ),
  ),
  row('readonly_rootfs', 'nothing can be written but to tmpfs', async (t) => {
    same(
      await t.output(
        'touch /x 2>/dev/null || echo refused; touch /dev/shm/y && rm /dev/shm/y && echo written',
        security({ readonlyRootfs: true }),
      ),
      'refused\nwritten',
    );
  }),
  row(
    'readonly_rootfs',
    'false: the root file system is writable, and each container has its own',
    async (t) => {
      await t.output('echo mine > /only-here');
      same(await t.output('test -e /only-here || echo none'), 'none');
    },
  ),
  row('masked_paths', 'a file reads empty, a directory lists empty', async (t) => {
    same(
      await t.output(
        'cat /etc/passwd | wc -c; ls /var | wc -l',
        security({ maskedPaths: ['/etc/passwd', '/var'] }),
      ),
      '0\n0',
    );
  }),
  row('masked_paths', 'an empty list masks nothing (procMount Unmasked)', async (t) => {
    const text = await t.output('cat /proc/self/mountinfo', security({ maskedPaths: [], readonlyPaths: [] }));
    same(
      text.split('\n').filter((line) => / \/proc\/\S+ /u.test(line)),
      [],
    );
  }),
  row(
    'masked_paths',
    'one that the image has not is no matter',
    async (t) => void (await t.output('true', security({ maskedPaths: ['/no/such/path'] }))),
  ),
  row('readonly_paths', 'can be read and not written', async (t) => {
    same(
      await t.output(
        'cat /proc/sys/kernel/ostype; echo x > /proc/sys/kernel/domainname 2>/dev/null || echo refused',
        security({ readonlyPaths: ['/proc/sys'], capabilities: { addCapabilities: ['SYS_ADMIN'] } }),
      ),
      'Linux\nrefused',
    );
  }),
  row('oom_score_adj', "is the process's", async (t) =>
    same(await t.output('cat /proc/self/oom_score_adj', resources({ oomScoreAdj: 678n })), '678'),
  ),
  row('tty', 'stdin and stdout are a terminal, TERM is set', async (t) => {
    matches(
      (await t.run({ command: ['sh', '-c', 'test -t 0 && test -t 1 && echo terminal $TERM'], tty: true }))
        .stdout,
      /^terminal xterm\r?\n$/u,
    );
  }),
  row('stdin', 'false: an end of file at once', async (t) => same(await t.output('cat; echo over'), 'over')),
  row('stdin', 'true: reading waits', async (t) => {
    const { id } = await t.up('echo up; cat; echo over', { stdin: true });
    same((await t.status(id)).state, 1);
  }),
  row(
    'privileged',
    "all capabilities, no filter, nothing masked, /sys writable, the host's devices",
    async (t) => {
      const pod = await t.stage.shared('privileged');
      const text = await t.output(
        'cat /proc/self/status; test -w /sys/kernel && echo writable; test -c /dev/kmsg && echo device',
        security({ privileged: true, maskedPaths: ['/etc/passwd'] }),
        pod,
      );
      matches(text, /^Seccomp:\s*0$/mu);
      matches(text, /^device$/mu);
      const mask = BigInt(`0x${/^CapEff:\s*(\w+)/mu.exec(text)?.[1] ?? '0'}`);
      same(mask, BigInt(`0x${statusOf(process.pid, 'CapBnd')}`));
    },
  ),
  row('rlimits', 'RLIMIT_NOFILE is stated: not what the runtime happens to have', async (t) => {
    const id = await t.start();
    const first = await t.exec(id, 'ulimit -n');
    holds(Number(first) >= 1024, first);
  }),
  row(
    'apparmor',
    'Unconfined starts on any host',
    async (t) => void (await t.output('true', security({ apparmor: { profileType: 1 } }))),
  ),
  row(
    'selinux_options',
    'on a host without SELinux are no hindrance',
    async (t) => void (await t.output('true', security({ selinuxOptions: { level: 's0:c1,c2' } }))),
  ),
  row('/proc', "is that of the container's own PID namespace", async (t) =>
    same(await t.output('cat /proc/1/comm; true'), 'sh'),
  ),
  row('/dev', 'has null, zero, full, random, urandom, tty, ptmx, pts, shm, mqueue, fd', async (t) => {
    same(
      await t.output(
        'for n in null zero full random urandom tty ptmx pts shm mqueue fd; do test -e /dev/$n || echo no $n; done',
      ),
      '',
    );
  }),
  row('/dev', "has none of the host's disks, and mknod makes none that opens", async (t) => {
    same(
      await t.output(
        'ls -l /dev | grep -c "^b" || true; mknod /tmp/mem c 1 1 && head -c1 /tmp/mem 2>/dev/null || echo refused',
      ),
      '0\nrefused',
    );
  }),
  row('zombies', 'a defunct child of the first process is no failure of the container', async (t) => {
    const { id } = await t.up('(exit 3) & echo up; while :; do sleep 1; done');
    same((await t.status(id)).state, 1);
  }),
];
