import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { realClock } from '../../../src/host/clock/clock.ts';
import { recogniseMemory } from '../../../src/host/files/state-files.ts';
import { stopKernelThread } from '../../../src/host/kernel-thread/kernel-thread.ts';
import {
  ipv4Of,
  isNamespacePin,
  netDevOf,
  pinNamespaces,
  preparePinRoot,
  releasePinRoot,
  setSysctlsInNamespace,
  unpinNamespaces,
} from '../../../src/host/namespaces/namespaces.ts';
import { readMountInfo, findMount } from '../../../src/host/mounts/mountinfo.ts';
import { mountBind, mountTmpfs, unmount } from '../../../src/host/mounts/mounts.ts';
import { runTool } from '../../../src/host/process/process-tool.ts';
import { describeAsRoot, mountPointsBelow, scratchDirectory } from './support.ts';
import { EVENT_MS } from '../../support/patience.ts';
import { unless, lacking } from '../../support/skips/unless.ts';
import { injects } from '../../support/faults/injects.ts';

const refusedSysctl = injects('F59', 'the kernel refuses a sysctl of new namespaces');

const clock = realClock();
const kinds = ['net', 'ipc', 'uts'] as const;
const all = { net: true, ipc: true, uts: true, sysctls: [] };

/** The namespaces of every thread of this process. */
function threadNamespaces(): Set<string> {
  const threads = readdirSync('/proc/self/task');
  return new Set(
    threads.map((thread) =>
      kinds.map((kind) => readlinkSync(`/proc/self/task/${thread}/ns/${kind}`)).join(' '),
    ),
  );
}

/** What a program prints that runs in pinned namespaces. */
async function inside(directory: string, argv: readonly string[]): Promise<string> {
  const enter = kinds.map((kind) => `--${kind}=${join(directory, kind)}`);
  const result = await runTool({
    argv: ['/usr/bin/nsenter', ...enter, '--', ...argv],
    timeoutMs: EVENT_MS,
    clock,
  });
  expect(Buffer.from(result.stderr).toString()).toBe('');
  return Buffer.from(result.stdout).toString();
}

describeAsRoot('namespaces without a process', () => {
  const scratch = scratchDirectory('pins');
  const root = join(scratch, 'ns');
  const before = threadNamespaces();

  beforeAll(() => preparePinRoot(root));
  afterAll(async () => {
    for (const name of existsSync(root) ? readdirSync(root) : []) await unpinNamespaces(join(root, name));
    await stopKernelThread();
    await releasePinRoot(root);
    expect(mountPointsBelow(root)).toEqual([]);
  });

  test('in a state directory in memory, pins are made once, and never below a root that is not prepared', async () => {
    const state = join(scratch, 'state');
    mkdirSync(state);
    await mountTmpfs({ target: state, source: 'troupe', sizeBytes: 65536, mode: 0o755 });
    onTestFinished(async () => void (await unmount(state)));
    await recogniseMemory(state);
    const pins = join(state, 'ns');
    const request = { ...all, directory: join(pins, 'pod') };
    await expect(pinNamespaces(request, clock)).rejects.toMatchObject({ code: 'ENOENT' });
    expect(existsSync(pins)).toBe(false);
    await preparePinRoot(pins);
    onTestFinished(() => releasePinRoot(pins));
    const made = await pinNamespaces(request, clock);
    const inode = statSync(made.net ?? '').ino;
    expect(statSync(request.directory).mode & 0o777).toBe(0o711);
    expect(await pinNamespaces(request, clock)).toEqual(made);
    expect(statSync(made.net ?? '').ino).toBe(inode);
    await unpinNamespaces(request.directory);
    expect(existsSync(request.directory)).toBe(false);
  });

  test('a pod has its host name, its sysctls and lo up; the host keeps its own', async () => {
    const hostValue = readFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'utf8');
    const hostName = readFileSync('/proc/sys/kernel/hostname', 'utf8');
    const shmmni = readFileSync('/proc/sys/kernel/shmmni', 'utf8');
    const directory = join(root, 'pod');
    const sysctls = [
      { name: 'net.ipv4.ip_unprivileged_port_start', value: '77' },
      { name: 'kernel/shmmni', value: '99' },
    ];
    const paths = await pinNamespaces({ ...all, directory, hostname: 'pod-1', sysctls }, clock);
    expect(paths).toEqual({
      net: join(directory, 'net'),
      ipc: join(directory, 'ipc'),
      uts: join(directory, 'uts'),
    });
    const seen = ['kernel/hostname', 'net/ipv4/ip_unprivileged_port_start', 'kernel/shmmni'].map(
      (name) => `/proc/sys/${name}`,
    );
    expect(await inside(directory, ['/bin/cat', ...seen])).toBe('pod-1\n77\n99\n');
    expect(await inside(directory, ['/sbin/ip', '-o', '-4', 'addr', 'show', 'up'])).toMatch(
      /^1: lo\s+inet 127\.0\.0\.1\/8/u,
    );
    expect(readFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'utf8')).toBe(hostValue);
    expect(readFileSync('/proc/sys/kernel/hostname', 'utf8')).toBe(hostName);
    expect(readFileSync('/proc/sys/kernel/shmmni', 'utf8')).toBe(shmmni);
    expect(await Promise.all(Object.values(paths).map(isNamespacePin))).toEqual([true, true, true]);
  });

  test('the address of an interface is read in its namespace; one that is gone has none', async () => {
    const before = threadNamespaces();
    const directory = join(root, 'addressed');
    const { net = '' } = await pinNamespaces({ ...all, directory }, clock);
    expect(await ipv4Of(net, 'lo', clock)).toBe('127.0.0.1');
    expect(await ipv4Of(net, 'eth0', clock)).toBeUndefined();
    await unpinNamespaces(directory);
    await expect(ipv4Of(net, 'lo', clock)).rejects.toThrow('no such file');
    expect(threadNamespaces()).toEqual(before);
  });

  test('the interfaces of a namespace without a process are read, and none of the host’s', async () => {
    const directory = join(root, 'counted');
    const paths = await pinNamespaces({ ...all, directory }, clock);
    await inside(directory, [
      '/sbin/ip',
      'link',
      'add',
      'counted0',
      'type',
      'veth',
      'peer',
      'name',
      'counted1',
    ]);
    const names = (await netDevOf(paths.net ?? '', clock))
      .split('\n')
      .flatMap((line) => /^\s*([^\s:]+):/u.exec(line)?.[1] ?? []);
    expect(names.toSorted()).toEqual(['counted0', 'counted1', 'lo']);
    await unpinNamespaces(directory);
    await expect(netDevOf(paths.net ?? '', clock)).rejects.toThrow('no such file');
    expect(threadNamespaces()).toEqual(before);
  });

  test('pinning again gives the same namespaces; a missing one is made again', async () => {
    const directory = join(root, 'again');
    await pinNamespaces({ ...all, directory }, clock);
    const inode = (kind: string): number => statSync(join(directory, kind)).ino;
    const first = kinds.map(inode);
    await pinNamespaces({ ...all, directory }, clock);
    expect(kinds.map(inode)).toEqual(first);
    // the kernel gives the number of a namespace that is gone to the next one
    const held = openSync(join(directory, 'net'), 'r');
    onTestFinished(() => closeSync(held));
    await unmount(join(directory, 'uts'));
    await pinNamespaces({ ...all, directory }, clock);
    expect(await isNamespacePin(join(directory, 'uts'))).toBe(true);
    expect(inode('net')).not.toBe(first[0]);
  });

  test('only the requested namespaces are made', async () => {
    const directory = join(root, 'some');
    expect(await pinNamespaces({ ...all, net: false, uts: false, directory }, clock)).toEqual({
      ipc: join(directory, 'ipc'),
    });
    expect(readdirSync(directory)).toEqual(['ipc']);
    const none = { directory: join(root, 'none'), net: false, ipc: false, uts: false, sysctls: [] };
    expect(await pinNamespaces(none, clock)).toEqual({});
  });

  test('unpinning can be repeated, handles plain files and stacked mounts, and deletes the directory', async () => {
    const directory = join(root, 'gone');
    await pinNamespaces({ ...all, directory }, clock);
    await mountBind({ source: join(directory, 'net'), target: join(directory, 'ipc') });
    await unpinNamespaces(directory);
    await unpinNamespaces(directory);
    expect(existsSync(directory)).toBe(false);
    mkdirSync(directory);
    writeFileSync(join(directory, 'net'), '');
    expect(await isNamespacePin(join(directory, 'net'))).toBe(false);
    await unpinNamespaces(directory);
    expect(existsSync(directory)).toBe(false);
  });

  test('F59: a sysctl that the kernel refuses undoes everything and is named', async () => {
    const directory = join(root, 'refused');
    const sysctls = [{ name: 'net.ipv4.no_such_thing', value: '1' }];
    await expect(pinNamespaces({ ...all, directory, sysctls }, clock)).rejects.toThrow(
      /set sysctl net.ipv4.no_such_thing=1: ENOENT/u,
    );
    const bad = [{ name: 'net.ipv4.ip_forward', value: 'x' }];
    await expect(pinNamespaces({ ...all, directory, sysctls: bad }, clock)).rejects.toMatchObject({
      fault: { kind: 'invalidRequest', message: expect.stringContaining('EINVAL') as string },
    });
    refusedSysctl.happened(2);
    await expect(pinNamespaces({ ...all, directory, hostname: 'x'.repeat(65) }, clock)).rejects.toThrow(
      /set host name/u,
    );
    expect(readdirSync(directory)).toEqual([]);
    expect(threadNamespaces()).toEqual(before);
  });

  test('sysctls are in force whatever their order: one that resets another, one whose bound another moves', async () => {
    const directory = join(root, 'order');
    const sysctls = [
      { name: 'net.ipv4.conf.all.accept_redirects', value: '1' },
      { name: 'net.ipv4.ip_forward', value: '1' },
      // from 80 on is refused while ports below 1024 are privileged
      { name: 'net.ipv4.ip_local_port_range', value: '80 65000' },
      { name: 'net.ipv4.ip_unprivileged_port_start', value: '0' },
      { name: 'kernel.domainname', value: 'shop.example' },
    ];
    await pinNamespaces({ ...all, directory, sysctls }, clock);
    const paths = sysctls.map(({ name }) => `/proc/sys/${name.replaceAll('.', '/')}`);
    expect((await inside(directory, ['/bin/cat', ...paths])).split('\n')).toEqual([
      '1',
      '1',
      '80\t65000',
      '0',
      'shop.example',
      '',
    ]);
    await unpinNamespaces(directory);
  });

  test('parameters of an interface are set once it exists; a missing interface is InvalidArgument', async () => {
    const directory = join(root, 'interface');
    const { net = '' } = await pinNamespaces({ ...all, directory }, clock);
    await inside(directory, ['/sbin/ip', 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'other']);
    await setSysctlsInNamespace(net, [{ name: 'net.ipv4.conf.eth0.arp_ignore', value: '2' }], clock);
    expect(await inside(directory, ['/bin/cat', '/proc/sys/net/ipv4/conf/eth0/arp_ignore'])).toBe('2\n');
    const absent = setSysctlsInNamespace(net, [{ name: 'net.ipv4.conf.eth7.arp_ignore', value: '2' }], clock);
    await expect(absent).rejects.toMatchObject({
      fault: { kind: 'invalidRequest', subject: 'config.linux.sysctls' },
    });
    await expect(
      setSysctlsInNamespace(net, [{ name: 'kernel.shmmax', value: '1' }], clock),
    ).rejects.toMatchObject({ fault: { kind: 'invalidRequest' } });
    expect(threadNamespaces()).toEqual(before);
    await unpinNamespaces(directory);
  });

  test('a sysctl of the host, or of a namespace that is not created, is refused before anything is made', async () => {
    const directory = join(root, 'never');
    for (const name of ['kernel.core_pattern', 'vm.swappiness', 'net.ipv4.ip_forward']) {
      const request = { ...all, net: false, directory, sysctls: [{ name, value: '1' }] };
      await expect(pinNamespaces(request, clock)).rejects.toMatchObject({
        fault: { kind: 'invalidRequest' },
      });
    }
    expect(existsSync(directory)).toBe(false);
  });

  test('recursive binds leave out pins, so that no container holds them through a volume', async () => {
    await preparePinRoot(root);
    expect(mountPointsBelow(root).filter((path) => path === root)).toEqual([root]);
    expect(findMount(await readMountInfo(), root)).toMatchObject({ isUnbindable: true });
    await pinNamespaces({ ...all, directory: join(root, 'held') }, clock);
    const copy = join(scratch, 'copy');
    mkdirSync(copy);
    const result = await runTool({
      argv: ['/bin/mount', '--rbind', scratch, copy],
      timeoutMs: EVENT_MS,
      clock,
    });
    expect(result.exitCode).toBe(0);
    expect(mountPointsBelow(copy)).toEqual([copy]);
    await unmount(copy);
  });

  test('after 100 pods, ten at once, every thread is in the host’s namespaces and no thread was added', async () => {
    await pinNamespaces({ ...all, directory: join(root, 'warm') }, clock);
    const threads = readdirSync('/proc/self/task').length;
    const names = Array.from({ length: 100 }, (_none, index) => `pod-${index}`);
    for (let from = 0; from < names.length; from += 10) {
      await Promise.all(
        names
          .slice(from, from + 10)
          .map((name) => pinNamespaces({ ...all, directory: join(root, name), hostname: name }, clock)),
      );
    }
    const inodes = names.flatMap((name) => kinds.map((kind) => statSync(join(root, name, kind)).ino));
    expect(new Set(inodes).size).toBe(300);
    expect(threadNamespaces()).toEqual(before);
    expect(before.size).toBe(1);
    expect(readdirSync('/proc/self/task')).toHaveLength(threads);
    await Promise.all(names.map((name) => unpinNamespaces(join(root, name))));
  });

  unless(test, lacking('/usr/bin/strace'))(
    'a thread that cannot return is given up, and pods are pinned all the same',
    async () => {
      const helper = new URL('./lost-thread.ts', import.meta.url).pathname;
      const inject = [
        '/usr/bin/strace',
        '-f',
        '-qq',
        '-o',
        '/dev/null',
        '-e',
        'trace=setns',
        '-e',
        'inject=setns:error=EPERM',
      ];
      const argv = [...inject, process.execPath, helper, root];
      const result = await runTool({ argv, timeoutMs: EVENT_MS, clock });
      expect(Buffer.from(result.stderr).toString()).toBe('');
      expect(JSON.parse(Buffer.from(result.stdout).toString())).toEqual({
        pinned: 3,
        differentNetworks: 3,
        strayThreads: 0,
      });
    },
  );

  test('a thread that could not start without descriptors starts at the next call', async () => {
    const helper = new URL('./no-descriptor.ts', import.meta.url).pathname;
    // few enough that taking them all is quick
    const argv = ['/bin/sh', '-c', 'ulimit -n 128; exec "$0" "$1"', process.execPath, helper];
    const result = await runTool({ argv, timeoutMs: EVENT_MS, clock });
    expect(Buffer.from(result.stdout).toString()).toBe(JSON.stringify({ without: true, withSome: true }));
  });

  test('a new worker replaces an ended one', async () => {
    await stopKernelThread();
    const directory = join(root, 'after');
    expect(await pinNamespaces({ ...all, directory }, clock)).toMatchObject({ net: join(directory, 'net') });
  });
});
