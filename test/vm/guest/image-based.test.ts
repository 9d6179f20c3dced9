// docs/on-image-based-hosts.md under the real systemd, by the commands of the page: of the machine only /etc, /opt,
// /root, /tmp and /var can be written, and /opt is a file system of its own. The test runs in mounts of its own, since
// the checkout is in the /opt that the machine had before.
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { processStat } from '../../../src/host/process/process-identity.ts';
import { fileIn, NEXT_VERSION } from '../../e2e/packages/builds.ts';
import { bothOutputs, CrictlThere } from '../../e2e/packages/runtime.ts';
import { until } from '../../support/eventually.ts';
import { type Ended, run } from '../../support/run.ts';
import { checkout } from '../../support/tools/cache.ts';
import { crictl } from '../../support/tools/go-tools.ts';
import { guestArchives } from '../guest-packages.ts';
import { shown, systemctl, untilNoUnits } from './node.ts';

const SOCKET = '/run/troupe/troupe.sock';
/** The archives, where the machine sees them. */
const ARCHIVES = '/run/archives';
const TROUPE = '/opt/troupe/bin/troupe';
/**
 * What the host's image has not, where the page puts it; /opt on a file system of its own; the rest read-only, once
 * systemd's journal is written to the new mount of /var.
 */
const MAKE_HOST = `mkdir ${ARCHIVES}
mount --bind "$1" ${ARCHIVES}
mount -t tmpfs -o mode=755 opt /opt
mkdir -p /opt/bin /opt/cni/bin
rm -f /usr/bin/runc
mv /usr/sbin/runc /usr/bin/conmon /opt/bin
mv /usr/lib/cni/* /opt/cni/bin
for place in etc var root tmp usr; do mount --bind "/$place" "/$place"; done
mount -o remount,bind,ro /usr
systemctl restart systemd-journald
mount -o remount,bind,ro /`;

let ours: CrictlThere;
let page = '';
/** Versions of the archives, as their names have them. */
const versions = { first: '', next: NEXT_VERSION };
let own = { pod: '', container: '', pid: 0 };

/** A program in the mounts of systemd. */
const there = async (...argv: readonly string[]): Promise<Ended> =>
  await run(['nsenter', '--target', '1', '--mount', '--root', '--wd', ...argv]);
const ok = async (...argv: readonly string[]): Promise<string> => bothOutputs(argv, await there(...argv));
const isServing = async (): Promise<boolean> => (await run(ours.argv('pods'))).code === 0;
/** Also for what can't be seen from the mounts of this process. */
const exists = async (path: string): Promise<boolean> => (await there('test', '-e', path)).code === 0;

/** Runs a block of commands of the page, by the number that it has there. */
async function runBlock(
  number: number,
  ...replaced: readonly (readonly [string, string])[]
): Promise<string> {
  const blocks = [...page.matchAll(/^```\n(.*?)^```$/gmsu)].map((match) => match[1] ?? '');
  let script = blocks[number] ?? '';
  const names = [
    ['troupe-VERSION-linux', `first/troupe-${versions.first}-linux`],
    ['troupe-NEXT-linux', `next/troupe-${versions.next}-linux`],
    ['troupe-VERSION', `troupe-${versions.first}`],
    ['troupe-NEXT', `troupe-${versions.next}`],
  ] as const;
  for (const [from, to] of [...replaced, ...names]) script = script.replaceAll(from, to);
  return await ok('sh', '-ec', `cd ${ARCHIVES}\n${script}`);
}

/** Exchanges the program: another daemon serves, the pod goes on, and no call fails meanwhile. */
async function exchange(change: () => Promise<unknown>): Promise<void> {
  const former = await shown('MainPID');
  let isOver = false;
  const calls = (async (): Promise<number> => {
    let made = 0;
    for (; !isOver; made += 1) {
      expect(await ours.pods()).toEqual([own.pod]);
      expect(await ours.ok('exec', own.container, 'echo', 'on')).toBe('on');
    }
    return made;
  })();
  const changed = change().finally(() => {
    isOver = true;
  });
  await Promise.all([changed, calls]);
  await until(isServing);
  expect(await shown('MainPID')).not.toBe(former);
  expect(await shown('ActiveState')).toBe('active');
  expect(await ours.pidOf(own.container)).toBe(own.pid);
  expect(await ours.ok('exec', own.container, 'echo', 'still')).toBe('still');
}

const runningVersion = async (): Promise<string> =>
  /RuntimeVersion: +(\S+)/u.exec(await ours.ok('version'))?.[1] ?? '';

async function startOwn(name: string): Promise<void> {
  const made = await ours.start(name, 'pod');
  own = { ...made, pid: await ours.pidOf(made.container) };
  expect(await ours.ok('exec', own.container, 'echo', 'hello')).toBe('hello');
}

async function expectWiped(): Promise<void> {
  await until(() => processStat(own.pid) === undefined);
  await untilNoUnits();
  expect(await ok('cat', '/proc/self/mountinfo')).not.toMatch(/ \/(?:run|var\/lib)\/troupe\/\S/u);
}

beforeAll(async () => {
  page = await readFile(join(checkout, 'docs/on-image-based-hosts.md'), 'utf8');
  const archive = await fileIn(join(guestArchives, 'first'), '.tar.gz');
  versions.first = /^troupe-(.*)-linux/u.exec(archive)?.[1] ?? '';
  const machine = {
    ok: async (...argv: readonly string[]) => bothOutputs(argv, await run(argv)),
    write: async (path: string, text: string) => await writeFile(path, text),
  };
  ours = new CrictlThere(machine, { crictl: await crictl(), socket: SOCKET, cgroup: 'image.slice' });
  await ok('sh', '-ec', MAKE_HOST, 'sh', guestArchives);
});

describe('below /opt', () => {
  it('the rest of the machine is read-only', async () => {
    for (const path of ['/', '/usr', '/usr/bin', '/usr/lib', '/home', '/srv'])
      expect([path, (await there('touch', `${path}/x`)).stderr]).toEqual([
        path,
        expect.stringContaining('Read-only file system'),
      ]);
    expect(await exists('/opt/troupe')).toBe(false);
    expect(existsSync('/opt/troupe')).toBe(true);
  });

  it('the commands of the page install and start it', async () => {
    // no network of a cluster is there
    const here = '[cgroup]\ndriver = "systemd"\n[network]\nfallback = "bridge"\n';
    await ok('mkdir', '-p', '/etc/troupe/troupe.toml.d');
    await writeFile('/etc/troupe/troupe.toml.d/90-test.toml', here);
    const said = await runBlock(0);
    expect(said).toMatch(/^handler +runc ready/mu);
    expect(said).not.toContain('degraded');
    expect(await systemctl('is-enabled', 'troupe')).toBe('enabled');
    expect(await systemctl('show', '--property=After', '--value', 'troupe')).toContain('opt.mount');
    expect(await runningVersion()).toBe(versions.first);
  });

  it('crictl runs a pod on it, with the programs of /opt', async () => {
    await ok(TROUPE, 'import', `docker-archive:${ARCHIVES}/image.tar`);
    await startOwn('below');
    const monitor = Number(await readFile(`/run/troupe/containers/${own.container}/conmon.pid`, 'utf8'));
    expect(await readFile(`/proc/${monitor}/cmdline`, 'utf8')).toMatch(/^\/opt\/bin\/conmon\0/u);
    expect(await ok(TROUPE, 'check')).toContain('clean:');
    expect(await exists('/var/cache/troupe/daemon.bin')).toBe(true);
  });

  it('F92 the next version takes over by the commands of the page, and the one before takes over again', async () => {
    await exchange(async () => await runBlock(1));
    expect(await runningVersion()).toBe(versions.next);
    await exchange(
      async () =>
        await ok('sh', '-ec', `ln -sfn troupe-${versions.first} /opt/troupe && systemctl reload troupe`),
    );
    expect(await runningVersion()).toBe(versions.first);
  });

  it('is removed by the commands and the list of the page, and leaves nothing', async () => {
    await runBlock(4, ['kubelet troupe', 'troupe']);
    await expectWiped();
    const list = /^Delete (.*?)\.$/msu.exec(page)?.[1]?.matchAll(/`(\/[^`]+)`/gu) ?? [];
    const paths = [...list].map((match) => (match[1] ?? '').replace('VERSION', versions.first));
    expect(paths).toContain('/opt/troupe');
    await ok('rm', '-r', ...paths, `/opt/troupe-${versions.next}`);
    await systemctl('daemon-reload');
    const find = ['find', '/etc', '/opt', '/usr', '/var/lib', '/var/cache', '-xdev', '-name', '*troupe*'];
    expect((await ok(...find)).split('\n')).toEqual(['/var/lib/troupe-vm']);
    expect(await systemctl('list-units', '--all', '--plain', '--no-legend', '--full', 'troupe*')).toBe('');
  });
});

describe('as a system extension', () => {
  it('the commands of the page make it, and systemd starts the service from the merged /usr', async () => {
    await ok('mkdir', '-p', '/etc/troupe/troupe.toml.d');
    await writeFile(
      '/etc/troupe/troupe.toml.d/90-test.toml',
      '[cgroup]\ndriver = "systemd"\n[network]\nfallback = "bridge"\nplugin_dirs = ["/opt/cni/bin"]\n[runtime]\nmonitor = "/opt/bin/conmon"\n[runtime.handlers.runc]\npath = "/opt/bin/runc"\n',
    );
    // the script comes out of the archive, and the archives' directory is no place for it
    await runBlock(2, ['sudo ./make-sysext.sh', 'mv make-sysext.sh /tmp && sudo sh /tmp/make-sysext.sh']);
    await until(isServing);
    expect(await shown('FragmentPath')).toBe('/usr/lib/systemd/system/troupe.service');
    expect((await there('touch', '/usr/bin/x')).stderr).toContain('Read-only file system');
    await ok('troupe', 'import', `docker-archive:${ARCHIVES}/image.tar`);
    await startOwn('extension');
    expect(await runningVersion()).toBe(versions.first);
  });

  it('F92 the next version takes over by the commands of the page', async () => {
    const next = ['troupe-VERSION', `next/troupe-${versions.next}`] as const;
    await exchange(
      async () =>
        await runBlock(
          2,
          ['sudo ./make-sysext.sh', 'mv make-sysext.sh /tmp && sudo sh /tmp/make-sysext.sh'],
          next,
        ),
    );
    expect(await runningVersion()).toBe(versions.next);
  });

  it('taken back, /usr has it no more', async () => {
    await runBlock(3);
    await expectWiped();
    expect(await exists('/usr/bin/troupe')).toBe(false);
    expect(await systemctl('list-units', '--all', '--plain', '--no-legend', '--full', 'troupe*')).toBe('');
  });
});
