// `npm run package`: built twice with the same bytes; installed, used, upgraded, removed and purged in a clean Debian
// where containerd runs pods, too.
import { existsSync } from 'node:fs';
import { copyFile, mkdir, readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runOrThrow } from '../../support/run.ts';
import { unless } from '../../support/skips/unless.ts';
import { checkout } from '../../support/tools/cache.ts';
import { crictl } from '../../support/tools/go-tools.ts';
import { writeImage } from './archive.ts';
import {
  ARCHITECTURES,
  build,
  buildOffline,
  copyOfCheckout,
  endsOf,
  fileIn,
  NEXT_VERSION,
  noOther,
  other,
  own as ownArchitecture,
  secondsOf,
  timeOfFirst,
  workDirectory,
} from './builds.ts';
import { CleanSystem, hindrance } from './clean-system.ts';
import { billTests, fieldTests, licenseTests, Packages } from './contents.ts';
import { makeRefusing, REFUSING } from './refusing.ts';
import { rpmErasure, RpmNode, rpmRefusal, rpmUpgrade } from './rpm-life.ts';
import { CrictlThere } from './runtime.ts';

const MOST_BYTES = 70_000_000;
/** `e_machine` of elf(5). */
const ELF_MACHINE = { x64: 62, arm64: 183 } as const;
const DEB = endsOf(ownArchitecture).deb;
const SOCKET = '/run/troupe/troupe.sock';
/** What a removal asks of systemd. */
const REMOVED = [
  'stop troupe.socket troupe.service',
  '--no-reload disable troupe.service troupe.socket',
  'daemon-reload',
];

const why = hindrance();
if (why !== '') console.log(`skipped: packages in a clean Debian (${why})`);

unless(describe, why)('packages', () => {
  let work = '';
  let first = '';
  let second = '';
  let next = '';
  beforeAll(async () => {
    work = await workDirectory();
    [first, second, next] = ['first', 'second', 'next'].map((name) => join(work, name)) as [
      string,
      string,
      string,
    ];
    await build(checkout, ['--out', first], { umask: '022', env: timeOfFirst() }, ARCHITECTURES);
    await build(checkout, ['--out', next, '--form', 'deb,rpm', '--version', NEXT_VERSION], {
      umask: '022',
      env: timeOfFirst(),
    });
    await writeImage(join(work, 'image.tar'));
    await copyFile(await crictl(), join(work, 'crictl'));
  });
  afterAll(async () => await rm(work, { recursive: true, force: true }));

  /** A package as the clean system sees it. */
  const there = async (directory: string, end: string): Promise<string> =>
    join('/packages', directory.slice(work.length), await fileIn(directory, end));

  test('the same commit gives the same bytes: without a network, in another directory, umask, time zone, language and without git', async () => {
    const copy = join(work, 'copy of the checkout');
    const home = join(work, 'home');
    await copyOfCheckout(copy);
    await mkdir(home);
    const env = {
      SOURCE_DATE_EPOCH: await secondsOf(first),
      TZ: 'Asia/Tokyo',
      LC_ALL: 'C.UTF-8',
      USER: 'other',
    };
    const said = await buildOffline(copy, ['--out', second], { umask: '077', env }, home);
    // the set-up had nothing to get, unless the machine lacks the other architecture's binaries anyway
    const gets = noOther === '' ? /set-up: .*(?:install|fetch|can be made for)/u : /set-up: .*install/u;
    expect(said).not.toMatch(gets);
    await rm(copy, { recursive: true });
    await rm(home, { recursive: true });
    const names = await readdir(first);
    expect((await readdir(second)).toSorted()).toEqual(names.toSorted());
    for (const name of names)
      expect([name, (await readFile(join(first, name))).equals(await readFile(join(second, name)))]).toEqual([
        name,
        true,
      ]);
    await rm(second, { recursive: true });
  });

  test('there are four files of each architecture, each of at most 70 MB, and their checksums', async () => {
    const names = ARCHITECTURES.flatMap((architecture) => Object.values(endsOf(architecture)));
    expect(await readdir(first)).toHaveLength(names.length + 1);
    for (const end of names) {
      const { size } = await stat(join(first, await fileIn(first, end)));
      expect([end, size <= MOST_BYTES]).toEqual([end, true]);
    }
    expect(existsSync(join(first, 'SHA256SUMS'))).toBe(true);
  });

  const packages = (): Packages => new Packages(first, work);
  fieldTests(packages);
  billTests(packages);
  licenseTests(packages);

  if (noOther !== '') console.log(`skipped: packages of ${other} (${noOther})`);
  unless(test, noOther)(
    'the .deb of the other architecture has its binaries, of one processor each',
    async () => {
      const tree = join(work, 'tree');
      await runOrThrow(['dpkg-deb', '--extract', join(first, await fileIn(first, endsOf(other).deb)), tree]);
      const modules = join(tree, 'usr/lib/troupe/node_modules');
      for (const file of [
        `node-linux-${other}/bin/node`,
        `@koromix/koffi-linux-${other}/linux_${other}/koffi.node`,
      ]) {
        const head = (await readFile(join(modules, file))).subarray(0, 20);
        expect([head.toString('latin1', 1, 4), head.readUInt16LE(18)]).toEqual(['ELF', ELF_MACHINE[other]]);
      }
      await rm(tree, { recursive: true });
    },
  );

  describe('in a clean Debian, beside containerd', () => {
    let system: CleanSystem;
    let ours: CrictlThere;
    let theirs: CrictlThere;
    let foreign = { pod: '', container: '', pid: 0 };
    let own = { pod: '', container: '', pid: 0 };
    beforeAll(async () => {
      system = await CleanSystem.make(work);
      const program = '/packages/crictl';
      ours = new CrictlThere(system, { crictl: program, socket: SOCKET, cgroup: `/${system.tag}` });
      const place = { socket: '/run/containerd/containerd.sock', cgroup: `/${system.tag}-containerd` };
      theirs = new CrictlThere(system, { crictl: program, ...place });
    });
    afterAll(async () => await system.close());

    const serve = async (program: string): Promise<void> =>
      await system.serve('troupe', [program, 'serve'], ours.argv('pods'));
    /** Everything below these that has our name. */
    const ourFiles = async (): Promise<readonly string[]> =>
      await system.lines(
        "find /etc /usr /opt /var /run -xdev -iname '*troupe*' -not -path '/var/log/*' -not -path '/usr/share/doc/troupe/*' -not -path '/usr/lib/troupe/*' -not -path '/var/lib/troupe/*' -not -path '/run/troupe/*' | sort",
      );
    /** containerd's pod is the only one it knows, and its process is the one that was started. */
    const containerdGoesOn = async (): Promise<void> => {
      expect(await theirs.pods()).toEqual([foreign.pod]);
      expect(await theirs.pidOf(foreign.container)).toBe(foreign.pid);
    };

    test('containerd runs a pod', async () => {
      const config = `version = 2\n[plugins."io.containerd.grpc.v1.cri"]\nsandbox_image = "registry.example/box:1"\nrestrict_oom_score_adj = true\ndisable_apparmor = true\n`;
      await system.write('/etc/containerd/config.toml', config);
      await system.serve('containerd', ['containerd'], theirs.argv('pods'));
      await system.ok('ctr', '--namespace', 'k8s.io', 'images', 'import', '/packages/image.tar');
      const made = await theirs.start('foreign', 'host');
      foreign = { ...made, pid: await theirs.pidOf(made.container) };
      await containerdGoesOn();
    });

    test('the .deb is installed: dpkg finds each file as packed, and the service is enabled and started', async () => {
      const before = await system.lines(
        'find /etc/cni /etc/crictl.yaml /run/containerd /etc/containerd 2>/dev/null | sort',
      );
      await system.ok('dpkg', '--install', await there(first, DEB));
      // to which its copyright refers
      await system.ok('test', '-s', '/usr/share/common-licenses/Apache-2.0');
      expect(await system.ok('dpkg', '--verify', 'troupe')).toBe('');
      expect(await system.ok('dpkg-query', '--show', '--showformat=${db:Status-Status}', 'troupe')).toBe(
        'installed',
      );
      const calls = await system.systemctlCalls();
      expect(calls.slice(0, 2)).toEqual(['preset troupe.service', 'daemon-reload']);
      expect(calls.at(-1)).toMatch(/\bstart troupe\.service$/u);
      expect(await ourFiles()).toEqual([
        '/etc/troupe',
        '/etc/troupe/troupe.toml',
        '/usr/bin/troupe',
        '/usr/lib/systemd/system/troupe.service',
        '/usr/lib/systemd/system/troupe.socket',
        '/usr/lib/troupe',
        '/usr/share/bash-completion/completions/troupe',
        '/usr/share/doc/troupe',
        '/usr/share/fish/vendor_completions.d/troupe.fish',
        ...(await system.lines("find /usr/share/man/man1 -name 'troupe*' | sort")),
        '/usr/share/zsh/vendor-completions/_troupe',
        ...(await system.lines("find /var/lib/dpkg/info -name 'troupe.*' | sort")),
      ]);
      expect(
        await system.lines(
          'find /etc/cni /etc/crictl.yaml /run/containerd /etc/containerd 2>/dev/null | sort',
        ),
      ).toEqual(before);
      expect(await system.ok('troupe', 'version')).toMatch(/^troupe \d/u);
    });

    test('with a read-only /usr the daemon serves crictl: a pod on its own network, exec, and compiled code in /var', async () => {
      await system.write(
        '/etc/troupe/troupe.toml',
        `[cgroup]\nparent = "/${system.tag}"\n[network]\nfallback = "bridge"\n`,
      );
      await system.ok('sh', '-c', 'mount --bind /usr /usr && mount -o remount,bind,ro /usr');
      expect((await system.run('touch', '/usr/lib/troupe/x')).stderr).toContain('Read-only file system');
      await serve('/usr/bin/troupe');
      await system.ok('troupe', 'import', 'docker-archive:/packages/image.tar');
      const made = await ours.start('own', 'pod');
      own = { ...made, pid: await ours.pidOf(made.container) };
      expect(await ours.ok('exec', own.container, 'echo', 'hello')).toBe('hello');
      expect(await ours.pods()).toEqual([own.pod]);
      expect(await system.ok('troupe', 'check')).not.toContain('leak');
      expect(await system.lines('ls /var/cache/troupe')).toContain('daemon.bin');
      await containerdGoesOn();
      await system.ok('mount', '-o', 'remount,bind,rw', '/usr');
    });

    test.each([
      [
        'can not read the journal',
        REFUSING.journal,
        /refused process \d+: take over: .* reads the journal up to/u,
      ],
      [
        'fails the check of its start',
        REFUSING.check,
        /check the kernel interface: glibc is .*, older than/u,
      ],
    ] as const)(
      'a program that %s is installed; it says why, and the daemon of before serves',
      async (_what, change, reason) => {
        const tree = join(work, 'refusing');
        const later = join(next, await fileIn(next, DEB));
        await makeRefusing(change, later, tree, join(work, 'refusing.deb'));
        await system.systemctlCalls();
        const [before, version] = [await system.daemon(), await ours.ok('version')];
        const said = await system.ok('dpkg', '--force-confdef', '--install', '/packages/refusing.deb');
        expect(said).toMatch(reason);
        expect(said).toContain('not replaced; a daemon that runs goes on');
        // a restart would end the daemon that runs
        expect(await system.systemctlCalls()).toEqual(['daemon-reload']);
        const asked = '--showformat=${db:Status-Status} ${Version}';
        expect(await system.ok('dpkg-query', '--show', asked, 'troupe')).toBe(`installed ${change.version}`);
        expect([await system.daemon(), await ours.ok('version')]).toEqual([before, version]);
        expect(await ours.pidOf(own.container)).toBe(own.pid);
        expect(await ours.ok('exec', own.container, 'echo', 'still')).toBe('still');
        await containerdGoesOn();
        await rm(join(work, 'refusing.deb'));
      },
    );

    test('an upgrade keeps the edited configuration, and its daemon takes over: the container is the same', async () => {
      await system.systemctlCalls();
      await system.ok('dpkg', '--force-confdef', '--install', await there(next, DEB));
      expect(await system.systemctlCalls()).toEqual(['daemon-reload']);
      expect(await system.ok('cat', '/etc/troupe/troupe.toml')).toContain(system.tag);
      expect(await ours.ok('version')).toContain(`RuntimeVersion:  ${NEXT_VERSION}`);
      expect(await ours.pidOf(own.container)).toBe(own.pid);
      expect(await ours.ok('exec', own.container, 'echo', 'again')).toBe('again');
      await containerdGoesOn();
    });

    test('a removal stops the daemon, names the pods that go on, and keeps what is configured and stored', async () => {
      const successor = await system.daemon();
      const said = await system.ok('dpkg', '--remove', 'troupe');
      expect(said).toContain('these go on without it');
      expect(said).toMatch(/^ {2}.*own/mu);
      expect(await system.systemctlCalls()).toEqual(REMOVED);
      // with it the one before ends, which may still hold a connection
      await system.end(successor);
      expect(await system.isAlive(own.pid)).toBe(true);
      expect((await ourFiles()).filter((path) => path.startsWith('/usr'))).toEqual([]);
      expect(
        await system.lines(
          'ls -d /etc/troupe/troupe.toml /var/lib/troupe/journal* /var/cache/troupe 2>/dev/null || :',
        ),
      ).toEqual(['/etc/troupe/troupe.toml', '/var/lib/troupe/journal']);
    });

    test('a purge is refused while the pod runs, with the way out, and deletes nothing', async () => {
      const { code, stderr } = await system.run('dpkg', '--purge', 'troupe');
      expect(code).not.toBe(0);
      expect(stderr).toContain('pods still run');
      expect(stderr).toContain('troupe wipe --force');
      expect(await system.lines('ls -d /var/lib/troupe/journal /run/troupe')).toHaveLength(2);
      expect(await system.isAlive(own.pid)).toBe(true);
    });

    test('installed again and wiped, it is purged without a trace; containerd and its pod go on', async () => {
      await system.systemctlCalls();
      await system.ok('dpkg', '--force-confdef', '--install', await there(next, DEB));
      expect((await system.systemctlCalls()).at(-1)).toMatch(/\bstart troupe\.service$/u);
      await system.ok('troupe', 'wipe', '--force');
      expect(await system.ok('dpkg', '--purge', 'troupe')).not.toContain('go on without it');
      expect(await ourFiles()).toEqual([]);
      expect(await system.lines("awk '/troupe/' /proc/self/mountinfo")).toEqual([]);
      await containerdGoesOn();
    });

    test('the .tar.gz runs from an /opt of another file system, then a read-only one', async () => {
      await system.ok('mount', '-t', 'tmpfs', 'opt', '/opt');
      await system.ok(
        'tar',
        '--extract',
        '--file',
        await there(first, endsOf(ownArchitecture).tar),
        '--directory',
        '/opt',
      );
      await system.ok(
        'sh',
        '-c',
        'cd /opt && ln -s troupe-* troupe && mount -o remount,ro /opt && mkdir /etc/troupe',
      );
      await system.write(
        '/etc/troupe/troupe.toml',
        `[cgroup]\nparent = "/${system.tag}"\n[network]\nfallback = "bridge"\n`,
      );
      await serve('/opt/troupe/bin/troupe');
      await system.ok('/opt/troupe/bin/troupe', 'import', 'docker-archive:/packages/image.tar');
      const { pod, container } = await ours.start('archive', 'pod');
      expect(await ours.ok('exec', container, 'echo', 'hello')).toBe('hello');
      await ours.ok('stopp', pod);
      await ours.ok('rmp', pod);
      expect(await system.lines('ls /var/cache/troupe')).toContain('daemon.bin');
      await system.stop('troupe');
      await system.ok('/opt/troupe/bin/troupe', 'wipe', '--force');
      await containerdGoesOn();
    });
  });

  describe('the .rpm in a clean Debian', () => {
    let made: RpmNode;
    const node = (): RpmNode => made;
    beforeAll(async () => {
      made = await RpmNode.make({ work, first, next });
    });
    afterAll(async () => await made.system.close());
    rpmUpgrade(node);
    rpmRefusal(node);
    rpmErasure(node, REMOVED);
  });

  test('SELinux: the module of the machine’s policy is loaded and files are labelled; no policy, no call', async () => {
    const system = await CleanSystem.make(work);
    try {
      const labels = '/usr/lib/troupe/deploy/packages/labels.sh';
      await system.ok('dpkg', '--force-depends', '--install', await there(first, DEB));
      for (const name of ['semodule', 'restorecon'])
        await system.write(`/usr/sbin/${name}`, `#!/bin/sh\necho "${name} $*" >>/var/log/systemctl\n`, '755');
      await system.ok('mkdir', '-p', '/var/lib/troupe', '/run/troupe');
      await system.systemctlCalls();
      await system.ok(labels, 'added');
      expect(await system.systemctlCalls()).toEqual([]);
      for (const [type, module] of [
        ['default', 'troupe'],
        ['targeted', 'troupe-container-selinux'],
      ] as const) {
        await system.ok('mkdir', '-p', '/etc/selinux');
        await system.write('/etc/selinux/config', `SELINUX=enforcing\nSELINUXTYPE=${type}\n`);
        await system.ok(labels, 'added');
        expect(await system.systemctlCalls()).toEqual([
          `semodule -i /usr/lib/troupe/deploy/selinux/${module}.cil`,
          // an upgrade leaves running pods the labels of their files
          ...['/usr/lib/troupe/bin', '/etc/troupe', '/var/lib/troupe', '/run/troupe'].map(
            (path) => `restorecon -RF -e ${path}/containers -e ${path}/pause-rootfs ${path}`,
          ),
        ]);
        await system.ok(labels, 'removed');
        expect(await system.systemctlCalls()).toEqual([`semodule -r ${module}`]);
      }
    } finally {
      await system.close();
    }
  });
});
