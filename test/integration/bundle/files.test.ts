/** What the bundle writer does to the disk, and what it refuses to do. */
import { spawnSync } from 'node:child_process';
import { existsSync, lstatSync, mkdirSync, readFileSync, statSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Fault } from '../../../src/base/fault.ts';
import { SANDBOX_ID, mountOf } from '../../unit/oci-spec/fixtures.ts';
import { bundleInput, fx, makeMachine, readConfig, whyNot } from './machine.ts';
import type { Machine } from './machine.ts';
import { faultOf } from '../../support/fault-of.ts';

const reason = whyNot();
if (reason !== undefined) process.stdout.write(`skipped, files of bundles: ${reason}\n`);

const nodeNamespaces = { network: 'node', ipc: 'node', pid: 'container', targetId: undefined } as const;

let machine: Machine;
beforeEach(async () => {
  if (reason === undefined) machine = await makeMachine();
});
afterEach(() => {
  if (reason === undefined) machine.remove();
});

type Changes = Parameters<typeof bundleInput>[1];

function write(changes: Changes = {}): ReturnType<Machine['writer']['writeBundle']> {
  return machine.writer.writeBundle(bundleInput(machine, changes), fx);
}

const faultWith = (changes: Changes): Promise<Fault> => faultOf(write(changes));

interface Config {
  readonly mounts: readonly { readonly destination: string; readonly source: string; readonly options: readonly string[] }[];
  readonly linux: { readonly devices: readonly { readonly path: string; readonly major: number; readonly minor: number }[]; readonly seccomp?: { readonly defaultAction: string } };
}
const config = (): Config => readConfig(machine) as Config;

describe.skipIf(reason !== undefined)('host paths', () => {
  test('a missing source becomes a directory of mode 0755, a link is resolved', async () => {
    mkdirSync(join(machine.dir, 'real'));
    symlinkSync('real', join(machine.dir, 'link'));
    const missing = join(machine.dir, 'a/b');
    await write({ spec: { mounts: [mountOf('/missing', { hostPath: missing }), mountOf('/linked', { hostPath: join(machine.dir, 'link') })] } });
    expect(statSync(missing).mode & 0o777).toBe(0o755);
    expect(config().mounts.find(({ destination }) => destination === '/linked')?.source).toBe(join(machine.dir, 'real'));
  });

  test('a source below a file is refused by its field, and nothing is made of a missing /etc/hostname-like one', async () => {
    writeFileSync(join(machine.dir, 'file'), '');
    const fault = await faultWith({ spec: { mounts: [mountOf('/x', { hostPath: join(machine.dir, 'file/below') })] } });
    expect(fault).toMatchObject({ kind: 'invalidRequest', subject: 'mounts.host_path' });
  });

  test('a file on a directory of the image, and the other way, are refused by the place; links of the image are followed within', async () => {
    const [file, directory] = [join(machine.dir, 'file'), join(machine.dir, 'directory')];
    writeFileSync(file, '');
    mkdirSync(directory);
    symlinkSync('etc', join(machine.rootfs, 'linked'));
    for (const [place, hostPath, words] of [
      ['/etc', file, 'the source is no directory, but the image has a directory there'],
      ['/linked', file, 'the source is no directory, but the image has a directory there'],
      ['/etc/passwd', directory, 'the source is a directory, but the image has a file there'],
    ] as const) {
      const fault = await faultWith({ spec: { mounts: [mountOf(place, { hostPath })] } });
      expect(fault).toMatchObject({ kind: 'invalidRequest', subject: 'mounts.container_path', message: `mount ${hostPath} at ${place}: ${words}` });
    }
    const inOther = [mountOf('/etc', { hostPath: directory }), mountOf('/etc/passwd', { hostPath: file }), mountOf('/dev/shm', { hostPath: directory })];
    await write({ spec: { mounts: [...inOther, mountOf('/new/file', { hostPath: file })] } });
  });

  test('a volume above the root file systems of containers hears of their unmounts; others are private', async () => {
    const other = join(machine.dir, 'other');
    mkdirSync(other);
    await write({ spec: { mounts: [mountOf('/all', { hostPath: machine.dir }), mountOf('/other', { hostPath: other })] } });
    const options = (place: string): readonly string[] => config().mounts.find(({ destination }) => destination === place)?.options ?? [];
    expect([options('/all')[1], options('/other')[1]]).toEqual(['rslave', 'rprivate']);
  });

  test('S20 the image’s volumes are directories of the container, whatever links the image has; a file in their place is refused', async () => {
    const canary = join(machine.dir, 'canary');
    mkdirSync(canary);
    symlinkSync(canary, join(machine.rootfs, 'out'));
    await write({ image: { volumes: ['/data/a', '/etc'] } });
    expect(statSync(join(machine.rootfs, 'data/a')).isDirectory()).toBe(true);
    await write({ image: { volumes: ['/out/made'] } }).catch(() => undefined);
    expect(existsSync(join(canary, 'made'))).toBe(false);
    expect(await faultWith({ image: { volumes: ['/etc/passwd/x'] } })).toMatchObject({ kind: 'invalidRequest', message: expect.stringContaining('make volume /etc/passwd/x of the image') as string });
  });

  test('S55 the working directory and volumes at links that lead to nothing are made where the links lead, in the container', async () => {
    symlinkSync('/run', join(machine.rootfs, 'var-run'));
    symlinkSync('../mnt/data', join(machine.rootfs, 'etc/data'));
    await write({ spec: { command: ['/bin/sh', '-c', 'pwd; ls -d /mnt/data/*'] }, image: { workingDir: '/var-run/app', volumes: ['/etc/data/volume'] } });
    expect(await machine.run()).toBe('/run/app\n/mnt/data/volume\n');
  });

  test('at an image’s volume the request can mount a file, where the image has nothing', async () => {
    const file = join(machine.dir, 'app.conf');
    writeFileSync(file, 'of the request\n');
    const mounts = [mountOf('/srv/app.conf/', { hostPath: file })];
    await write({ spec: { command: ['/bin/cat', '/srv/app.conf'], mounts }, image: { volumes: ['/srv/app.conf', '/srv/other/'] } });
    expect(await machine.run()).toBe('of the request\n');
    expect(statSync(join(machine.rootfs, 'srv/other')).isDirectory()).toBe(true);
  });

  test('S55 a link to itself in the place of the working directory is the image’s fault, not the machine’s', async () => {
    symlinkSync('loop', join(machine.rootfs, 'loop'));
    expect(await faultWith({ image: { workingDir: '/loop' } })).toMatchObject({ kind: 'invalidRequest', subject: 'working_dir' });
    expect(await faultWith({ image: { volumes: ['/loop/x'] } })).toMatchObject({ kind: 'invalidRequest', subject: 'image' });
  });

  test('a wish that is refused makes no directory', async () => {
    const missing = join(machine.dir, 'never');
    const capabilities = { add: ['CAP_NO_SUCH'], drop: [], addAmbient: [] };
    const changes = { spec: { mounts: [mountOf('/x', { hostPath: missing })] }, security: { capabilities, namespaces: nodeNamespaces } };
    expect((await faultWith(changes)).kind).toBe('invalidRequest');
    expect(existsSync(missing)).toBe(false);
    expect(existsSync(join(machine.dir, 'logs'))).toBe(false);
  });

  test.each(['relative', '', '/with\0nul'])('source %j is refused', async (hostPath) => {
    expect(await faultWith({ spec: { mounts: [mountOf('/x', { hostPath })] } })).toMatchObject({ kind: 'invalidRequest', subject: 'mounts.host_path' });
  });

  test('S71: shared propagation needs a shared source', async () => {
    // a mount of our own, private for certain
    const volume = join(machine.dir, 'volume');
    mkdirSync(volume);
    expect(spawnSync('mount', ['-t', 'tmpfs', 'tmpfs', volume]).status).toBe(0);
    try {
      spawnSync('mount', ['--make-private', volume]);
      const asked = (propagation: 'bidirectional' | 'hostToContainer'): Changes => ({
        spec: { mounts: [mountOf('/v', { hostPath: volume, propagation })] },
      });
      expect(await faultWith(asked('bidirectional'))).toMatchObject({ kind: 'invalidRequest', subject: 'mounts.propagation' });
      expect(await faultWith(asked('hostToContainer'))).toMatchObject({ kind: 'invalidRequest', subject: 'mounts.propagation' });
      spawnSync('mount', ['--make-shared', volume]);
      await write(asked('bidirectional'));
      expect(config().mounts.find(({ destination }) => destination === '/v')?.options).toContain('rshared');
      await write(asked('hostToContainer'));
      expect(config().mounts.find(({ destination }) => destination === '/v')?.options).toContain('rslave');
    } finally {
      spawnSync('umount', [volume]);
    }
  });

  test('recursively read-only: the mount nested in the volume is read-only too', async () => {
    const volume = join(machine.dir, 'volume');
    mkdirSync(join(volume, 'nested'), { recursive: true });
    expect(spawnSync('mount', ['-t', 'tmpfs', 'tmpfs', join(volume, 'nested')]).status).toBe(0);
    try {
      const mount = mountOf('/v', { hostPath: volume, readonly: true, recursiveReadOnly: true });
      await write({ spec: { mounts: [mount], command: ['/bin/sh', '-c', 'echo x > /v/nested/file; echo done'] } });
      const output = await machine.run();
      expect(output).toContain('/v/nested/file: Read-only file system');
      expect(output).toContain('done');
    } finally {
      spawnSync('umount', [join(volume, 'nested')]);
    }
  });
});

describe.skipIf(reason !== undefined)('inside the root file system', () => {
  test('S55: a working directory behind a link of the image is made inside the root', async () => {
    const canary = join(machine.dir, 'canary');
    mkdirSync(canary);
    symlinkSync(canary, join(machine.rootfs, 'link'));
    await write({ image: { workingDir: '/link/new' } }).catch(() => undefined);
    expect(existsSync(join(canary, 'new'))).toBe(false);
    symlinkSync('/tmp', join(machine.rootfs, 'inside'));
    await write({ image: { workingDir: '/inside/new' } });
    expect(statSync(join(machine.rootfs, 'tmp/new')).isDirectory()).toBe(true);
  });

  test('a working directory in whose place the image has a file is refused by its field', async () => {
    const fault = await faultWith({ spec: { workingDir: '/etc/passwd/below' } });
    expect(fault).toMatchObject({ kind: 'invalidRequest', subject: 'working_dir', message: expect.stringContaining('/etc/passwd/below') as string });
  });

  test('S10, S28, S46: a passwd that is huge, a FIFO, a device or a link out of the root is refused or not followed', async () => {
    const passwd = join(machine.rootfs, 'etc/passwd');
    truncateSync(passwd, 20 * 1024 ** 3);
    expect((await faultWith({ image: { user: 'alice' } })).kind).toBe('invalidRequest');
    spawnSync('rm', [passwd]);
    spawnSync('mkfifo', [passwd]);
    expect((await faultWith({ image: { user: 'alice' } })).kind).toBe('invalidRequest');
    spawnSync('rm', [passwd]);
    spawnSync('mknod', [passwd, 'c', '1', '5']);
    expect((await faultWith({ image: { user: 'alice' } })).kind).toBe('invalidRequest');
    spawnSync('rm', [passwd]);
    symlinkSync('/../../../../../../../etc/passwd', passwd);
    // inside the root the link names itself
    expect((await faultWith({ image: { user: 'daemon' } })).message).toMatch(/passwd/u);
  });
});

describe.skipIf(reason !== undefined)('S09, S32, S75: the log path', () => {
  const logs = (): string => join(machine.dir, 'logs');

  test('its directories are made, the path is absolute', async () => {
    const effective = await write({ spec: { logPath: 'app/0.log' } });
    expect(effective.logPath).toBe(join(logs(), 'app/0.log'));
    expect(statSync(join(logs(), 'app')).isDirectory()).toBe(true);
    expect((await write({ spec: { logPath: '' } })).logPath).toBe('');
  });

  test('without a log directory the log goes below our own root', async () => {
    const sandbox = { namespaces: nodeNamespaces, cgroupParent: machine.cgroupParent, logDirectory: '' };
    const effective = await write({ spec: { logPath: 'app.log' }, sandbox });
    expect(effective.logPath).toBe(join(machine.layout.ownLogDirectory(SANDBOX_ID), 'app.log'));
  });

  test.each(['link', 'fifo', 'device', 'directory'])('a %s in its place is refused', async (what) => {
    mkdirSync(join(logs(), 'app'), { recursive: true });
    const path = join(logs(), 'app/0.log');
    if (what === 'link') symlinkSync('/tmp/secret', path);
    if (what === 'fifo') spawnSync('mkfifo', [path]);
    if (what === 'device') spawnSync('mknod', [path, 'c', '1', '3']);
    if (what === 'directory') mkdirSync(path);
    expect(await faultWith({ spec: { logPath: 'app/0.log' } })).toMatchObject({ kind: 'invalidRequest', subject: 'log_path' });
  });

  test('a link among its directories is refused', async () => {
    mkdirSync(logs());
    symlinkSync(machine.dir, join(logs(), 'app'));
    expect(await faultWith({ spec: { logPath: 'app/0.log' } })).toMatchObject({ kind: 'invalidRequest', subject: 'log_path' });
    expect(lstatSync(join(logs(), 'app')).isSymbolicLink()).toBe(true);
  });
});

describe.skipIf(reason !== undefined)('S74: devices', () => {
  const device = (hostPath: string, containerPath = '', permissions = 'rw'): Changes => ({
    spec: { devices: [{ hostPath, containerPath, permissions }] },
  });

  test('a node by the host path; a directory gives every node below', async () => {
    const directory = join(machine.dir, 'dev');
    mkdirSync(join(directory, 'sub'), { recursive: true });
    spawnSync('mknod', [join(directory, 'zero'), 'c', '1', '5']);
    spawnSync('mknod', [join(directory, 'sub/null'), 'c', '1', '3']);
    await write(device('/dev/full', '/dev/mine'));
    expect(config().linux.devices).toMatchObject([{ path: '/dev/mine', major: 1, minor: 7 }]);
    await write(device(directory, '/dev/dir'));
    expect(config().linux.devices.map(({ path }) => path)).toEqual(['/dev/dir/sub/null', '/dev/dir/zero']);
  });

  test('in the container only the standard ones are there, and another one cannot be opened', async () => {
    await write({ spec: { command: ['/bin/sh', '-c', 'ls /dev; mknod /tmp/kmsg c 1 11; cat /tmp/kmsg'] } });
    const output = await machine.run();
    // runc links core only where the kernel has /proc/kcore
    const listed = output.split('\n').filter((line) => /^[a-z]+$/u.test(line) && line !== 'core');
    expect(listed).toEqual(['fd', 'full', 'mqueue', 'null', 'ptmx', 'pts', 'random', 'shm', 'stderr', 'stdin', 'stdout', 'tty', 'urandom', 'zero']);
    expect(output).toMatch(/kmsg'?: Operation not permitted/u);
  });

  test.each([
    ['/dev/not-there', '', 'rw', 'devices.host_path'],
    ['/etc/passwd', '', 'rw', 'devices.host_path'],
    ['/etc', '', 'rw', 'devices.host_path'],
    ['dev/null', '', 'rw', 'devices.host_path'],
    ['/dev/null', '/', 'rw', 'devices.container_path'],
    ['/dev/null', '', 'rwx', 'devices.permissions'],
  ])('%s at %j with %s is refused by its field', async (hostPath, containerPath, permissions, subject) => {
    expect(await faultWith(device(hostPath, containerPath, permissions))).toMatchObject({ kind: 'invalidRequest', subject });
  });

  test('a privileged container has the host devices; another node in the place of one is refused', async () => {
    const changes = (containerPath: string): Changes => ({
      spec: { devices: [{ hostPath: '/dev/null', containerPath, permissions: 'rwm' }] },
      sandbox: { privileged: true, namespaces: nodeNamespaces, cgroupParent: machine.cgroupParent, logDirectory: join(machine.dir, 'logs') },
      security: { privileged: true, namespaces: nodeNamespaces },
    });
    await write(changes('/dev/null'));
    const paths = config().linux.devices.map(({ path }) => path);
    expect(paths).toContain('/dev/zero');
    expect(paths.some((path) => path.startsWith('/dev/pts/') || path === '/dev/ptmx' || path === '/dev/console')).toBe(false);
    expect(await faultWith(changes('/dev/zero'))).toMatchObject({ kind: 'invalidRequest', subject: 'devices.container_path' });
  });
});

describe.skipIf(reason !== undefined)('S73: a seccomp profile of the node', () => {
  const local = (path: string): Changes => ({
    spec: { command: ['/bin/sh', '-c', 'mkdir /tmp/x; echo after'] },
    security: { seccomp: { type: 'localhost', path }, namespaces: nodeNamespaces },
  });

  test('is used', async () => {
    const path = join(machine.dir, 'profile.json');
    writeFileSync(path, JSON.stringify({ defaultAction: 'SCMP_ACT_ALLOW', syscalls: [{ names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO' }] }));
    await write(local(path));
    const output = await machine.run();
    expect(output).toContain("'/tmp/x': Operation not permitted");
    expect(output).toContain('after');
  });

  test('missing, too large, no file, broken: refused, never unconfined', async () => {
    const path = join(machine.dir, 'profile.json');
    expect((await faultWith(local(path))).kind).toBe('invalidRequest');
    expect((await faultWith(local(machine.dir))).kind).toBe('invalidRequest');
    expect((await faultWith(local('relative.json'))).kind).toBe('invalidRequest');
    writeFileSync(path, '{');
    expect((await faultWith(local(path))).kind).toBe('invalidRequest');
    truncateSync(path, 100 * 1024 ** 2);
    expect((await faultWith(local(path))).kind).toBe('invalidRequest');
    expect(existsSync(machine.layout.bundleDir(bundleInput(machine).id))).toBe(false);
  });
});

describe.skipIf(reason !== undefined)('the rest', () => {
  test('S35, S73: the built-in profile denies AF_ALG and AF_VSOCK, keeps AF_UNIX and lets no new namespace be made', async () => {
    const binary = join(machine.rootfs, 'bin/probe');
    const source = join(machine.dir, 'probe.c');
    writeFileSync(source, PROBE);
    const compiled = spawnSync('gcc', ['-static', '-o', binary, source], { encoding: 'utf8' });
    if (compiled.status !== 0) {
      process.stdout.write(`skipped, the seccomp probe: no gcc that links statically: ${compiled.stderr}\n`);
      return;
    }
    await write({ spec: { command: ['/bin/probe'] } });
    expect((await machine.run()).trim().split('\n')).toEqual([
      'unix 0', 'inet 0', 'netlink 0', 'alg 1', 'vsock 1', 'alg+2^32 1', 'unshare user 1', 'clone newuser 1', 'clone3 38', 'keyctl 1', 'bpf 1',
    ]);
  });

  test('a process that has ended is not joined', async () => {
    const input = bundleInput(machine);
    const gone = { pid: process.pid, startTicks: 1n, bootId: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim() };
    await expect(machine.writer.writeBundle({ ...input, pidNamespaceOf: gone }, fx)).rejects.toThrow(/has ended/u);
  });

  test('an effect that is no longer wanted touches no host path', async () => {
    const missing = join(machine.dir, 'never');
    const aborted = { ...fx, signal: AbortSignal.abort() };
    const input = bundleInput(machine, { spec: { mounts: [mountOf('/x', { hostPath: missing })] } });
    await expect(machine.writer.writeBundle(input, aborted)).rejects.toMatchObject({ fault: { kind: 'cancelled' } });
    expect(existsSync(missing)).toBe(false);
  });
});

/** Prints the errno of calls that a container must or must not be able to make. */
const PROBE = `
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>
static void tell(const char *name, long result) {
  printf("%s %d\\n", name, result == -1 ? errno : 0);
  fflush(stdout);
}
int main(void) {
  tell("unix", syscall(SYS_socket, 1, 1, 0));
  tell("inet", syscall(SYS_socket, 2, 1, 0));
  tell("netlink", syscall(SYS_socket, 16, 3, 0));
  tell("alg", syscall(SYS_socket, 38, 5, 0));
  tell("vsock", syscall(SYS_socket, 40, 1, 0));
  tell("alg+2^32", syscall(SYS_socket, 0x100000026L, 5, 0));
  tell("unshare user", syscall(SYS_unshare, CLONE_NEWUSER));
  tell("clone newuser", syscall(SYS_clone, CLONE_NEWUSER | 17, 0, 0, 0, 0));
  tell("clone3", syscall(435, 0, 0));
  tell("keyctl", syscall(SYS_keyctl, 0, 0, 0, 0, 0));
  tell("bpf", syscall(SYS_bpf, 0, 0, 0));
  return 0;
}
`;
