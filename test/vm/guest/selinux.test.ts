// A node with SELinux enforcing, Debian's reference policy and our module (deploy/selinux). troupe runs as the service
// of deploy/.
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Message } from '@bufbuild/protobuf';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { NamespaceMode } from '../../../src/gen/runtime/v1/api_pb.ts';
import { type ContainerConfig, containerConfig, startUntilUp, untilTermed } from '../../e2e/support/pods.ts';
import { Node, type Pod, startTroupe, startWithImage, systemctl } from './node.ts';
import { denials, fileLabels, labelOf } from './selinux.ts';

const PROCESS = /^system_u:system_r:container_t:(s0:c\d+,c\d+)$/u;
/** Of what the tests make on the host; its files have the policy's type for /srv. */
const SHARED = '/srv/troupe-vm';
const SELF = ['cat', '/proc/self/attr/current'];
let node: Node;

beforeAll(async () => {
  node = new Node(await startWithImage());
});
afterAll(() => node.close());
afterEach(async () => {
  await node.removeAll();
  await rm(SHARED, { recursive: true, force: true });
});

interface Volume {
  readonly hostPath: string;
  readonly containerPath: string;
  readonly selinuxRelabel?: boolean;
  readonly readonly?: boolean;
}

interface More {
  readonly volumes?: readonly Volume[];
  readonly security?: object;
  readonly tty?: boolean;
}

async function create(pod: Pod, name: string, { volumes = [], security = {}, tty = false }: More = {}) {
  const base = containerConfig({ name, image: node.image, command: untilTermed(0) }) as Exclude<
    ContainerConfig,
    Message
  >;
  const linux = base.linux as { readonly securityContext: object };
  const { containerId } = await node.client.runtime.createContainer({
    podSandboxId: pod.id,
    config: {
      ...base,
      tty,
      mounts: volumes.map((one) => ({ ...one })),
      linux: { ...linux, securityContext: { ...linux.securityContext, ...security } },
    },
    sandboxConfig: pod.config,
  });
  return containerId;
}

async function start(pod: Pod, name: string, more: More = {}): Promise<string> {
  const containerId = await create(pod, name, more);
  await startUntilUp(node.client, containerId);
  return containerId;
}

/** Exit code and stderr of a command that may fail. */
async function attempt(containerId: string, command: string): Promise<readonly [number, string]> {
  const { exitCode, stderr } = await node.client.runtime.execSync({
    containerId,
    cmd: ['sh', '-c', command],
    timeout: 60n,
  });
  return [exitCode, new TextDecoder().decode(stderr).trim()];
}

const REFUSED = [1, expect.stringContaining('Permission denied')];
const level = (label: string): string => PROCESS.exec(label)?.[1] ?? `none in ${label}`;
const options = (selinuxOptions: object) => ({ securityContext: { selinuxOptions } });
const exec = async (id: string): Promise<string> => (await node.exec(id, ...SELF)).replace(/\0$/u, '');

async function volume(name: string): Promise<string> {
  const path = join(SHARED, name);
  await mkdir(path, { recursive: true });
  await writeFile(join(path, 'file'), 'of the host\n', { mode: 0o666 });
  return path;
}

describe('the service', () => {
  it('runs in its own domain while the policy is enforced, and so do its monitors', async () => {
    expect(readFileSync('/sys/fs/selinux/enforce', 'utf8')).toBe('1');
    const pid = Number(await systemctl('show', '--property=MainPID', '--value', 'troupe'));
    expect(await labelOf(pid)).toBe('system_u:system_r:troupe_t:s0');
    const pod = await node.runPod('monitored');
    const id = await start(pod, 'main');
    const monitor = Number(readFileSync(`/run/troupe/containers/${id}/conmon.pid`, 'utf8'));
    expect(await labelOf(monitor)).toBe('system_u:system_r:troupe_t:s0');
  });

  it('has the labels of a container engine on its files, sockets and logs', async () => {
    expect(await fileLabels('/var/lib/troupe', '/var/lib/troupe/journal', '/var/lib/troupe/layers')).toEqual(
      Array.from({ length: 3 }, () => 'system_u:object_r:container_var_lib_t:s0'),
    );
    expect(await fileLabels('/run/troupe', '/run/troupe/troupe.sock')).toEqual(
      Array.from({ length: 2 }, () => 'system_u:object_r:container_runtime_t:s0'),
    );
    const pod = await node.runPod('logged');
    const id = await start(pod, 'main');
    const { logPath } = await node.status(id);
    expect(existsSync(logPath)).toBe(true);
    expect((await fileLabels(logPath))[0]).toMatch(/:object_r:\w+:s0$/u);
  });
});

describe('processes', () => {
  it.each(['', 'crun'])(
    'are container_t with a level of their pod’s own, by ExecSync too (%s)',
    async (handler) => {
      const [one, two] = [
        await node.runPod('one', {}, { handler }),
        await node.runPod('two', {}, { handler }),
      ];
      const [first, second, other] = [await start(one, 'a'), await start(one, 'b'), await start(two, 'c')];
      const labels = [];
      for (const id of [first, second, other]) {
        const label = await labelOf(await node.pid(id));
        expect(label).toMatch(PROCESS);
        expect(await exec(id)).toBe(label);
        labels.push(level(label));
      }
      expect(labels[0]).toBe(labels[1]);
      expect(labels[2]).not.toBe(labels[0]);
    },
  );

  it('have user, role, type and level of the request, of the container’s before the pod’s', async () => {
    const whole = { user: 'system_u', role: 'system_r', type: 'svirt_lxc_net_t', level: 's0:c4,c5' };
    const pod = await node.runPod('asking', options(whole));
    const same = await start(pod, 'same');
    // the policy's other name of container_t
    expect(await exec(same)).toBe('system_u:system_r:container_t:s0:c4,c5');
    const own = await start(pod, 'own', { security: { selinuxOptions: { level: 's0:c6,c7' } } });
    expect(await exec(own)).toBe('system_u:system_r:container_t:s0:c6,c7');
    const free = await start(pod, 'free', { security: { selinuxOptions: { type: 'spc_t' } } });
    expect(await exec(free)).toBe('system_u:system_r:spc_t:s0:c4,c5');
    await expect(
      create(pod, 'unknown', { security: { selinuxOptions: { type: 'no_such_t' } } }),
    ).rejects.toThrow(/no_such_t:s0:c4,c5: the policy of this machine has no such label/u);
  });

  it('are spc_t in privileged containers and in pods with the host’s PIDs', async () => {
    const pod = await node.runPod('privileged', { securityContext: { privileged: true } });
    const id = await start(pod, 'main', { security: { privileged: true } });
    expect(await labelOf(await node.pid(id))).toMatch(/^system_u:system_r:spc_t:s0/u);
    expect(await exec(id)).toMatch(/^system_u:system_r:spc_t:s0/u);
    const namespaceOptions = { pid: NamespaceMode.NODE };
    const host = await node.runPod('host', { securityContext: { namespaceOptions } });
    const there = await start(host, 'main', { security: { namespaceOptions } });
    expect(await exec(there)).toMatch(/^system_u:system_r:spc_t:s0/u);
  });

  it('are confined in pods with a pause process, which has their label, and with a terminal', async () => {
    const namespaceOptions = { pid: NamespaceMode.POD };
    const pod = await node.runPod('paused', { securityContext: { namespaceOptions } });
    const id = await start(pod, 'main', { security: { namespaceOptions }, tty: true });
    const label = await exec(id);
    expect(label).toMatch(PROCESS);
    expect(await node.exec(id, 'cat', '/proc/1/attr/current')).toContain(label);
  });
});

describe('files', () => {
  it('of a container have its level, and it can use each of them', async () => {
    const pod = await node.runPod('files');
    const id = await start(pod, 'main');
    const pid = await node.pid(id);
    const own = level(await labelOf(pid));
    const root = `/proc/${pid}/root`;
    const paths = ['/', '/bin', '/dev', '/dev/shm', '/etc/hosts', '/etc/hostname', '/etc/resolv.conf'];
    expect(await fileLabels(...paths.map((path) => `${root}${path}`))).toEqual(
      paths.map(() => `system_u:object_r:container_file_t:${own}`),
    );
    const commands = [
      'cat /etc/hosts /etc/hostname /etc/resolv.conf',
      'echo x >/dev/shm/x && cat /dev/shm/x && rm /dev/shm/x',
      'echo x >/etc/mine && mkdir -p /var/mine && mv /etc/mine /var/mine/',
      'ls /dev/mqueue /dev/pts',
      'head -c 1 /dev/urandom >/dev/null && echo x >/dev/null',
      'cat /proc/meminfo /proc/self/status /sys/fs/cgroup/memory.max',
    ];
    for (const command of commands)
      expect([command, ...(await attempt(id, command))]).toEqual([command, 0, '']);
  });

  it('of the host are denied to a container, though it is root and they are world-readable', async () => {
    const hostPath = await volume('plain');
    const pod = await node.runPod('denied');
    const id = await start(pod, 'main', { volumes: [{ hostPath, containerPath: '/v' }] });
    expect(await attempt(id, 'cat /v/file')).toEqual(REFUSED);
    expect(await attempt(id, 'echo x >/v/file')).toEqual(REFUSED);
    expect(await attempt(id, 'touch /v/new')).toEqual(REFUSED);
    const free = await node.runPod('free', { securityContext: { privileged: true } });
    const able = await start(free, 'main', {
      volumes: [{ hostPath, containerPath: '/v' }],
      security: { privileged: true },
    });
    expect(await attempt(able, 'cat /v/file >/dev/null && echo x >/v/file')).toEqual([0, '']);
  });

  it('of a volume are labelled on request, without its links; another pod cannot read them', async () => {
    const hostPath = await volume('labelled');
    await symlink('/etc/shadow', join(hostPath, 'link'));
    const before = await fileLabels('/etc/shadow', SHARED);
    const one = await node.runPod('one');
    const id = await start(one, 'main', {
      volumes: [{ hostPath, containerPath: '/v', selinuxRelabel: true }],
    });
    const own = level(await exec(id));
    expect(await fileLabels(hostPath, join(hostPath, 'file'), join(hostPath, 'link'))).toEqual(
      Array.from({ length: 3 }, () => `system_u:object_r:container_file_t:${own}`),
    );
    expect(await fileLabels('/etc/shadow', SHARED)).toEqual(before);
    expect(await attempt(id, 'cat /v/file >/dev/null && echo x >/v/new')).toEqual([0, '']);
    expect(await attempt(id, 'cat /v/link')).toEqual([1, expect.any(String)]);
    const two = await node.runPod('two');
    const other = await start(two, 'main', { volumes: [{ hostPath, containerPath: '/v' }] });
    expect(await attempt(other, 'cat /v/file')).toEqual(REFUSED);
    expect(await attempt(other, 'echo x >/v/new')).toEqual(REFUSED);
    const same = await node.runPod('same', options({ level: own }));
    const shared = await start(same, 'main', { volumes: [{ hostPath, containerPath: '/v' }] });
    expect(await attempt(shared, 'cat /v/file /v/new >/dev/null')).toEqual([0, '']);
    // labelled anew for the last who asks, as with every runtime
    await start(two, 'again', { volumes: [{ hostPath, containerPath: '/v', selinuxRelabel: true }] });
    expect(await attempt(other, 'cat /v/file >/dev/null')).toEqual([0, '']);
    expect(await attempt(id, 'cat /v/file')).toEqual(REFUSED);
  });

  it.each(['/etc', '/usr/share', '/var/lib', '/root'])(
    'below %s, the host’s own, keep their labels',
    async (hostPath) => {
      const before = await fileLabels(hostPath);
      const pod = await node.runPod('own');
      await expect(
        create(pod, 'main', { volumes: [{ hostPath, containerPath: '/v', selinuxRelabel: true }] }),
      ).rejects.toThrow(/used by the host itself/u);
      expect(await fileLabels(hostPath)).toEqual(before);
    },
  );
});

/** Not a file of another pod's level, which `another pod cannot read them` has tried. */
const isNotLevel = (line: string): boolean =>
  !/ name="(?:file|v|new|labelled)" .*:container_file_t:/u.test(line);

describe('at the end', () => {
  it('nothing was denied to the daemon, its monitors and its helpers', async () => {
    await startTroupe();
    const pod = await node.runPod('late');
    const id = await start(pod, 'main');
    await node.client.runtime.stopContainer({ containerId: id, timeout: 10n });
    expect((await node.status(id)).exitCode).toBe(0);
    const all = await denials();
    expect(all.filter((line) => !/scontext=\S+:container_t:/u.test(line))).toEqual([]);
    // nor to containers at what is the daemon's; files of the host are, on purpose
    expect(
      all.filter((line) => /tcontext=\S+:(?:troupe_t|container_\w+):/u.test(line)).filter(isNotLevel),
    ).toEqual([]);
  });
});
