// What depends on the processor, on an emulated arm64 under Debian's kernel: the kernel interface, the seccomp profile,
// our machine code. What does not runs beside it, from the other suites (parts.ts).
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import {
  ContainerState,
  NamespaceMode,
  SecurityProfile_ProfileType as Profile,
} from '../../../src/gen/runtime/v1/api_pb.ts';
import { checkFfi } from '../../../src/host/ffi/check.ts';
import { untilTermed } from '../../e2e/support/pods.ts';
import { check, Node, startWithImage, STATE } from './node.ts';

/** Docker's form: the architectures of each machine that it may be used on. */
const PROFILE = {
  defaultAction: 'SCMP_ACT_ALLOW',
  archMap: [
    { architecture: 'SCMP_ARCH_X86_64', subArchitectures: ['SCMP_ARCH_X86', 'SCMP_ARCH_X32'] },
    { architecture: 'SCMP_ARCH_AARCH64', subArchitectures: ['SCMP_ARCH_ARM'] },
  ],
  syscalls: [
    { names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO' },
    { names: ['sethostname'], action: 'SCMP_ACT_ERRNO', excludes: { arches: ['arm64'] } },
    { names: ['symlinkat'], action: 'SCMP_ACT_ERRNO', includes: { arches: ['arm64'] } },
  ],
};

interface Seccomp {
  readonly architectures: readonly string[];
  readonly syscalls: readonly { readonly names: readonly string[] }[];
}

let node: Node;

beforeAll(async () => {
  node = new Node(await startWithImage());
});

afterAll(() => node.close());

afterEach(async () => await node.removeAll());

const seccompOf = (id: string): Seccomp =>
  (
    JSON.parse(readFileSync(`/run/troupe/containers/${id}/bundle/config.json`, 'utf8')) as {
      linux: { seccomp: Seccomp };
    }
  ).linux.seccomp;

const field = (pid: number, name: string): string =>
  new RegExp(`^${name}:\\s+(.*)$`, 'mu').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '';

/** What the shell prints when each of the commands is refused. */
const attempts = (...commands: readonly string[]): string[] => [
  'sh',
  '-c',
  commands.map((command) => `${command} >/dev/null 2>&1 && echo done || echo refused`).join('; '),
];

it('is an arm64 machine whose kernel and libc have the layouts and calls that ffi.ts states', () => {
  expect(process.arch).toBe('arm64');
  expect(() => checkFfi()).not.toThrow();
});

it('S35 confines a container of RuntimeDefault by a filter for arm64 and its 32-bit programs', async () => {
  const pod = await node.runPod('confined');
  const id = await node.start(pod, 'main', untilTermed(0), {
    securityContext: { seccomp: { profileType: Profile.RuntimeDefault } },
  });
  const pid = await node.pid(id);
  expect([field(pid, 'Seccomp'), field(pid, 'NoNewPrivs')]).toEqual(['2', '0']);
  expect(seccompOf(id).architectures).toEqual(['SCMP_ARCH_AARCH64', 'SCMP_ARCH_ARM']);
  expect(seccompOf(id).syscalls.flatMap(({ names }) => names)).toContain('arm_fadvise64_64');
  const output = await node.exec(
    id,
    ...attempts('unshare -n true', 'unshare -U true', 'swapoff /x', 'mkdir /made', 'ln -s a /link'),
  );
  expect(output.split('\n')).toEqual(['refused', 'refused', 'refused', 'done', 'done']);
});

it('applies a profile of the node by the conditions and architectures that it has for arm64', async () => {
  const path = join(STATE, 'profile.json');
  mkdirSync(STATE, { recursive: true });
  writeFileSync(path, JSON.stringify(PROFILE));
  const pod = await node.runPod('profile');
  const id = await node.start(pod, 'main', untilTermed(0), {
    securityContext: { seccomp: { profileType: Profile.Localhost, localhostRef: path } },
  });
  expect(seccompOf(id).architectures).toEqual(['SCMP_ARCH_AARCH64', 'SCMP_ARCH_ARM']);
  const output = await node.exec(id, ...attempts('mkdir /made', 'ln -s a /link', 'touch /file'));
  expect(output.split('\n')).toEqual(['refused', 'refused', 'done']);
  expect(seccompOf(id).syscalls.flatMap(({ names }) => names)).not.toContain('sethostname');
});

it('runs our pause program as PID 1 of a shared namespace', async () => {
  const securityContext = { namespaceOptions: { pid: NamespaceMode.POD } };
  const pod = await node.runPod('shared', { securityContext });
  const id = await node.start(pod, 'main', untilTermed(5), { securityContext });
  expect(await node.exec(id, 'cat', '/proc/1/comm')).toBe('pause');
  await node.client.runtime.stopContainer({ containerId: id, timeout: 60n });
  expect((await node.status(id)).state).toBe(ContainerState.CONTAINER_EXITED);
});

it('gives a pod user ids of its own, by our program that makes the namespace', async () => {
  const ids = [{ hostId: 1_000_000, containerId: 0, length: 65_536 }];
  const usernsOptions = { mode: NamespaceMode.POD, uids: ids, gids: ids };
  const namespaceOptions = { usernsOptions };
  // Debian's runc mounts no root file system with ids
  const pod = await node.runPod('ids', { securityContext: { namespaceOptions } }, { handler: 'crun' });
  const id = await node.start(pod, 'main', untilTermed(0), { securityContext: { namespaceOptions } });
  const pid = await node.pid(id);
  expect(field(pid, 'Uid').split('\t')[0]).toBe('1000000');
  expect(await node.exec(id, 'stat', '-c', '%u', '/bin/sh')).toBe('0');
});

it('leaves nothing behind', async () => {
  const { code, stdout } = await check();
  expect([code, stdout]).toEqual([0, expect.stringContaining('clean:')]);
});
