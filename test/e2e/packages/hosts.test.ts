// docs/on-image-based-hosts.md and what kubeadm asks of a node: a clean Debian of which only /etc, /opt and /var can be
// written (and /root and /tmp, for the test), with the files of deploy/image-based installed as the page says; then the
// same program as a system extension.
import { copyFile, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { run, runOrThrow } from '../../support/run.ts';
import { lacking, unless } from '../../support/skips/unless.ts';
import { checkout } from '../../support/tools/cache.ts';
import { crictl } from '../../support/tools/go-tools.ts';
import { builtKubeadm, KUBEADM_MISSING } from '../../support/tools/kubeadm.ts';
import { writeImage } from './archive.ts';
import { build, fileIn, timeOfFirst, workDirectory } from './builds.ts';
import { CleanSystem, hindrance } from './clean-system.ts';
import { CrictlThere } from './runtime.ts';

const SOCKET = '/run/troupe/troupe.sock';
const DEPLOY = '/opt/troupe/deploy/image-based';
/** An extension as systemd-sysext(8) merges it: an overlay that cannot be written. */
const MERGE = 'mount -t overlay -o ro,lowerdir=/var/lib/extensions/troupe/usr:/usr sysext /usr';
/** What can be written on such a host; all else can't. */
const READ_ONLY =
  'for place in etc opt var root tmp; do mount --bind "/$place" "/$place"; done; mount -o remount,bind,ro /';
/** The programs that the host's image has not, where the page puts them. */
const PROGRAMS =
  'mkdir -p /opt/bin /opt/cni/bin && rm /usr/bin/runc && mv /usr/sbin/runc /usr/bin/conmon /opt/bin && mv /usr/lib/cni/* /opt/cni/bin';

const why = hindrance();
if (why !== '') console.log(`skipped: hosts of a read-only /usr, in a clean Debian (${why})`);

unless(describe, why)('an image-based host', () => {
  let work = '';
  let archive = '';
  let system: CleanSystem;
  let ours: CrictlThere;
  let own = { pod: '', container: '', pid: 0 };
  beforeAll(async () => {
    work = await workDirectory();
    await build(checkout, ['--out', work, '--form', 'tar'], { umask: '022', env: timeOfFirst() });
    archive = await fileIn(work, '.tar.gz');
    await writeImage(join(work, 'image.tar'));
    await copyFile(await crictl(), join(work, 'crictl'));
    const kubeadm = builtKubeadm();
    if (kubeadm !== undefined) await copyFile(kubeadm, join(work, 'kubeadm'));
    system = await CleanSystem.make(work);
    ours = new CrictlThere(system, {
      crictl: '/packages/crictl',
      socket: SOCKET,
      cgroup: `/${system.tag}`,
    });
  });
  afterAll(async () => {
    await system.close();
    await rm(work, { recursive: true, force: true });
  });

  const serve = async (program: string): Promise<void> =>
    await system.serve('troupe', [program, 'serve'], ours.argv('pods'));
  const isReadOnly = async (path: string): Promise<boolean> =>
    (await system.run('touch', `${path}/x`)).stderr.includes('Read-only file system');

  test('the archive and the files of deploy/image-based go to /opt and /etc; the rest is read-only', async () => {
    await system.ok('mount', '-t', 'tmpfs', 'opt', '/opt');
    await system.ok('sh', '-c', PROGRAMS);
    await system.ok('tar', '-xzf', `/packages/${archive}`, '-C', '/opt');
    await system.ok('sh', '-c', 'cd /opt && ln -sfn troupe-* troupe');
    const install = ['install', '-D', '-m', '644', `${DEPLOY}/10-image-based.toml`];
    await system.ok(...install, '/etc/troupe/troupe.toml.d/10-image-based.toml');
    // no systemd runs this machine, and no network of a cluster is there
    const here = `[cgroup]\nparent = "/${system.tag}"\n[network]\nfallback = "bridge"\n`;
    await system.write('/etc/troupe/troupe.toml.d/90-test.toml', here);
    await system.ok('sh', '-c', READ_ONLY);
    for (const path of ['/', '/usr', '/usr/bin', '/usr/lib/cni']) expect(await isReadOnly(path)).toBe(true);
    expect(await system.ok('/opt/troupe/bin/troupe', 'config', '--check')).toMatch(/^no error in \//u);
  });

  test('the daemon serves crictl from there: a pod on its own network, exec, and no part degraded', async () => {
    await serve('/opt/troupe/bin/troupe');
    await system.ok('/opt/troupe/bin/troupe', 'import', 'docker-archive:/packages/image.tar');
    const made = await ours.start('own', 'pod');
    own = { ...made, pid: await ours.pidOf(made.container) };
    expect(await ours.ok('exec', own.container, 'echo', 'hello')).toBe('hello');
    const status = await system.ok('/opt/troupe/bin/troupe', 'status');
    expect(status).toMatch(/^handler +runc ready/mu);
    expect(status).not.toContain('degraded');
    expect(await system.ok('/opt/troupe/bin/troupe', 'check')).not.toContain('leak');
    // of the monitor, whose path is the configuration's
    expect(await system.lines("sed -n 's/\\x00.*//p' /proc/[0-9]*/cmdline | sort -u")).toContain(
      '/opt/bin/conmon',
    );
    expect(await system.lines('ls /var/cache/troupe')).toContain('daemon.bin');
  });

  const kubeadm = builtKubeadm();
  if (kubeadm === undefined) console.log(`skipped: kubeadm's checks of a node (${KUBEADM_MISSING})`);
  unless(describe, kubeadm === undefined ? KUBEADM_MISSING : undefined)('as kubeadm sees it', () => {
    const checks = async (): Promise<string> => {
      // this machine has no route by which kubeadm could find its address
      const text = await system.ok('cat', '/opt/troupe/deploy/kubeadm/init.yaml');
      const address = 'localAPIEndpoint:\n  advertiseAddress: 192.0.2.1\n';
      await system.write(
        '/tmp/init.yaml',
        text.replace(/^nodeRegistration:/mu, `${address}nodeRegistration:`),
      );
      const argv = ['/packages/kubeadm', 'init', 'phase', 'preflight', '--config', '/tmp/init.yaml', '--v=4'];
      const { stdout, stderr } = await system.run(...argv, '--ignore-preflight-errors', 'all');
      return stdout + stderr;
    };
    /** Names of checks that complain. */
    const complaints = (said: string): readonly string[] =>
      [...said.matchAll(/\[(?:WARNING|ERROR) ([\w-]+)\]/gu)].map((match) => match[1] ?? '');

    test('the images that kubeadm asks for are present: no check of the runtime complains, and nothing is pulled', async () => {
      const list = ['/packages/kubeadm', 'config', 'images', 'list', '--kubernetes-version', 'v1.36.3'];
      const images = (await system.run(...list)).stdout.split('\n').filter((line) => line !== '');
      expect(images).toContainEqual(expect.stringMatching(/^registry\.k8s\.io\/pause:/u));
      for (const image of images)
        await system.ok(
          '/opt/troupe/bin/troupe',
          'import',
          'docker-archive:/packages/image.tar',
          '--name',
          image,
        );
      const said = await checks();
      expect(said).toContain('[preflight] Running pre-flight checks');
      expect(said).toContain(`image exists: ${images[0] ?? ''}`);
      expect(
        complaints(said).filter((name) => /^(?:CRI|ContainerRuntimeVersion|ImagePull)$/u.test(name)),
      ).toEqual([]);
    });

    test('a reset removes the pods, although it waits for two seconds only', async () => {
      const argv = ['/packages/kubeadm', 'reset', '--force', '--cri-socket', `unix://${SOCKET}`];
      const { code, stderr, stdout } = await system.run(...argv);
      expect([code, `${stdout}${stderr}`]).toEqual([0, expect.not.stringContaining('remove containers')]);
      expect(await ours.pods()).toEqual([]);
      const made = await ours.start('after', 'pod');
      own = { ...made, pid: await ours.pidOf(made.container) };
    });
  });

  test('as a system extension: /usr has the program, /opt has it no more, and the container goes on', async () => {
    await system.stop('troupe');
    await system.ok(`${DEPLOY}/make-sysext.sh`, `/packages/${archive}`);
    await system.ok('sh', '-c', `${MERGE} && rm -r /opt/troupe /opt/troupe-*`);
    expect(await system.ok('cat', '/usr/lib/systemd/system/troupe.service')).toContain(
      'ExecStart=/usr/lib/troupe/bin/troupe serve\n',
    );
    await serve('/usr/bin/troupe');
    expect(await ours.pidOf(own.container)).toBe(own.pid);
    expect(await ours.ok('exec', own.container, 'echo', 'again')).toBe('again');
    expect(await isReadOnly('/usr/lib/troupe')).toBe(true);
    await ours.ok('stopp', own.pod);
    await ours.ok('rmp', own.pod);
    await system.stop('troupe');
    await system.ok('troupe', 'wipe', '--force');
  });
});

const sysext = lacking('/usr/bin/systemd-sysext');
const reason = process.getuid?.() === 0 ? sysext : 'needs root';
unless(describe, reason)('make-sysext.sh', () => {
  const script = join(checkout, 'deploy/image-based/make-sysext.sh');
  const NAME = `troupe-1.2.3-linux-${process.arch}.tar.gz`;
  let root = '';
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'troupe-sysext-'));
    for (const path of ['etc', 'opt', 'usr/bin', 'usr/lib/extension-release.d', 'var/lib/extensions'])
      await mkdir(join(root, path), { recursive: true });
    for (const path of ['etc/os-release', 'usr/lib/os-release'])
      await writeFile(join(root, path), 'ID=other\nVERSION_ID=1\n');
    const tree = join(root, 'tree/troupe-1.2.3');
    await mkdir(join(tree, 'bin'), { recursive: true });
    await writeFile(join(tree, 'bin/troupe'), '#!/bin/sh\necho extended\n', { mode: 0o755 });
    await mkdir(join(tree, 'deploy'));
    for (const unit of ['troupe.service', 'troupe.socket'])
      await copyFile(join(checkout, 'deploy', unit), join(tree, 'deploy', unit));
    await runOrThrow(['tar', '-czf', join(root, NAME), '-C', join(root, 'tree'), 'troupe-1.2.3']);
  });
  afterAll(async () => await rm(root, { recursive: true, force: true }));

  test('systemd-sysext merges what it makes, on a distribution of any name, and takes it away again', async () => {
    const extensions = join(root, 'var/lib/extensions');
    for (const _ of ['first', 'again'])
      await runOrThrow([script, join(root, NAME), join(extensions, 'troupe')]);
    // the one before, under a name that systemd passes over
    expect((await readdir(extensions)).toSorted()).toEqual(['.troupe.old', 'troupe']);
    // mounts of its own, which systemd-sysext needs to be shared
    const steps =
      'mount -t tmpfs run /run; mount --make-rshared /; systemd-sysext --root="$1" merge && "$1/usr/bin/troupe" && ls "$1/usr/lib/systemd/system" && systemd-sysext --root="$1" unmerge && ls "$1/usr/bin"';
    const argv = ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', steps, 'sh', root];
    const { code, stdout } = await run(argv);
    expect([code, stdout.trim().split('\n')]).toEqual([
      0,
      ['extended', 'multi-user.target.d', 'troupe.service', 'troupe.socket'],
    ]);
  });

  test('it refuses an archive whose name does not say the architecture', async () => {
    const { code, stderr } = await run([script, join(root, 'troupe.tar.gz'), join(root, 'x')]);
    expect([code, stderr]).toEqual([2, expect.stringContaining('-linux-x64.tar.gz')]);
    expect(await readdir(root)).not.toContain('x');
  });
});
