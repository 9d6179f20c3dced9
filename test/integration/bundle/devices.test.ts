/** Devices and seccomp profiles of a bundle: what the container has of them, and what is refused. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Fault } from '../../../src/base/fault.ts';
import type { BundleFiles } from '../../../src/oci/runtime/bundle/bundle.ts';
import { bundleInput, fx, makeMachine, nodeNamespaces, readConfig, whyNot } from './machine.ts';
import type { BundleConfig, Changes, Machine } from './machine.ts';
import { faultOf } from '../../support/fault-of.ts';
import { unless } from '../../support/skips/unless.ts';

const reason = whyNot();
if (reason !== undefined) process.stdout.write(`skipped, devices of bundles: ${reason}\n`);

let machine: Machine;
beforeEach(async () => {
  if (reason === undefined) machine = await makeMachine();
});
afterEach(() => {
  if (reason === undefined) machine.remove();
});

const write = (changes: Changes = {}): ReturnType<BundleFiles['writeBundle']> =>
  machine.writer.writeBundle(bundleInput(machine, changes), fx);
const faultWith = (changes: Changes): Promise<Fault> => faultOf(write(changes));
const config = (): BundleConfig => readConfig(machine) as BundleConfig;

unless(describe, reason)('S74: devices', () => {
  const device = (hostPath: string, containerPath = '', permissions = 'rw'): Changes => ({
    spec: { devices: [{ hostPath, containerPath, permissions }] },
  });

  test('a host path gives its node; a directory gives every node below', async () => {
    const directory = join(machine.dir, 'dev');
    mkdirSync(join(directory, 'sub'), { recursive: true });
    spawnSync('mknod', [join(directory, 'zero'), 'c', '1', '5']);
    spawnSync('mknod', [join(directory, 'sub/null'), 'c', '1', '3']);
    await write(device('/dev/full', '/dev/mine'));
    expect(config().linux.devices).toMatchObject([{ path: '/dev/mine', major: 1, minor: 7 }]);
    await write(device(directory, '/dev/dir'));
    expect(config().linux.devices.map(({ path }) => path)).toEqual(['/dev/dir/sub/null', '/dev/dir/zero']);
  });

  test('the container has the standard nodes only, and cannot open another one', async () => {
    await write({ spec: { command: ['/bin/sh', '-c', 'ls /dev; mknod /tmp/kmsg c 1 11; cat /tmp/kmsg'] } });
    const output = await machine.run();
    // runc links core only where the kernel has /proc/kcore
    const listed = output.split('\n').filter((line) => /^[a-z]+$/u.test(line) && line !== 'core');
    expect(listed).toEqual([
      'fd',
      'full',
      'mqueue',
      'null',
      'ptmx',
      'pts',
      'random',
      'shm',
      'stderr',
      'stdin',
      'stdout',
      'tty',
      'urandom',
      'zero',
    ]);
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
    expect(await faultWith(device(hostPath, containerPath, permissions))).toMatchObject({
      kind: 'invalidRequest',
      subject,
    });
  });

  test('a privileged container has the host’s devices; a different node in the place of one is refused', async () => {
    const changes = (containerPath: string): Changes => ({
      spec: { devices: [{ hostPath: '/dev/null', containerPath, permissions: 'rwm' }] },
      sandbox: {
        privileged: true,
        namespaces: nodeNamespaces,
        cgroupParent: machine.cgroupParent,
        logDirectory: join(machine.dir, 'logs'),
      },
      security: { privileged: true, namespaces: nodeNamespaces },
    });
    await write(changes('/dev/null'));
    const paths = config().linux.devices.map(({ path }) => path);
    expect(paths).toContain('/dev/zero');
    expect(
      paths.some((path) => path.startsWith('/dev/pts/') || path === '/dev/ptmx' || path === '/dev/console'),
    ).toBe(false);
    expect(await faultWith(changes('/dev/zero'))).toMatchObject({
      kind: 'invalidRequest',
      subject: 'devices.container_path',
    });
  });
});

unless(describe, reason)('S73: a seccomp profile of the node', () => {
  const local = (path: string): Changes => ({
    spec: { command: ['/bin/sh', '-c', 'mkdir /tmp/x; echo after'] },
    security: { seccomp: { type: 'localhost', path }, namespaces: nodeNamespaces },
  });

  test('is used', async () => {
    const path = join(machine.dir, 'profile.json');
    writeFileSync(
      path,
      JSON.stringify({
        defaultAction: 'SCMP_ACT_ALLOW',
        syscalls: [{ names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO' }],
      }),
    );
    await write(local(path));
    const output = await machine.run();
    expect(output).toContain("'/tmp/x': Operation not permitted");
    expect(output).toContain('after');
  });

  test('a profile that is missing, too large, not a file or broken is refused, never unconfined', async () => {
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

unless(describe, reason)('the built-in seccomp profile', () => {
  test('S35, S73: the built-in profile denies AF_ALG and AF_VSOCK, keeps AF_UNIX and denies new namespaces', async () => {
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
      'unix 0',
      'inet 0',
      'netlink 0',
      'alg 1',
      'vsock 1',
      'alg+2^32 1',
      'unshare user 1',
      'clone newuser 1',
      'clone3 38',
      'keyctl 1',
      'bpf 1',
    ]);
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
static void report(const char *name, long result) {
  printf("%s %d\\n", name, result == -1 ? errno : 0);
  fflush(stdout);
}
int main(void) {
  report("unix", syscall(SYS_socket, 1, 1, 0));
  report("inet", syscall(SYS_socket, 2, 1, 0));
  report("netlink", syscall(SYS_socket, 16, 3, 0));
  report("alg", syscall(SYS_socket, 38, 5, 0));
  report("vsock", syscall(SYS_socket, 40, 1, 0));
  report("alg+2^32", syscall(SYS_socket, 0x100000026L, 5, 0));
  report("unshare user", syscall(SYS_unshare, CLONE_NEWUSER));
  report("clone newuser", syscall(SYS_clone, CLONE_NEWUSER | 17, 0, 0, 0, 0));
  report("clone3", syscall(435, 0, 0));
  report("keyctl", syscall(SYS_keyctl, 0, 0, 0, 0, 0));
  report("bpf", syscall(SYS_bpf, 0, 0, 0));
  return 0;
}
`;
