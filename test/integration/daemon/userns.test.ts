// Pods with a user namespace of their own, on a running daemon with runc 1.4: Debian's runc cannot map owners.
import {
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  ContainerConfigSchema,
  LinuxContainerConfigSchema,
  NamespaceMode,
} from '../../../src/gen/runtime/v1/api_pb.ts';
import { untilHolds } from '../../e2e/support/crictl.ts';
import { containerConfig, startUntilUp, untilTermed } from '../../e2e/support/pods.ts';
import type { World } from '../../e2e/support/world.ts';
import { connectSpdy, openCommand } from '../streaming/clients.ts';
import { closeWorld, removePod } from './pod.ts';
import {
  GID,
  LENGTH,
  MAP,
  UID,
  asNobody,
  benchOf,
  gids,
  namespaceOptions,
  ownerOf,
  uids,
  usernsWorld,
} from './userns-world.ts';
import type { UsernsRequest } from './userns-world.ts';

describe('a pod with a user namespace', () => {
  let world: World;

  beforeAll(async () => {
    world = await usernsWorld();
    expect(
      (await world.client.runtime.status({})).runtimeHandlers.map(({ features }) => features?.userNamespaces),
    ).toEqual([true, true]);
  });

  afterAll(async () => {
    expect(await closeWorld(world)).toEqual([]);
  });

  const { runPod, createContainer, runContainer, exec } = benchOf(() => world);
  const upper = (containerId: string): string =>
    join(world.instance.root, 'containers', containerId, 'upper');

  it('S52 is root inside and nobody outside: files of the image, new files, a copied-up one, the working directory', async () => {
    const pod = await runPod('files');
    const id = await runContainer(pod, 'main', { workingDir: '/made/by/us' });
    expect(await exec(id, 'cat /proc/self/uid_map')).toMatch(MAP);
    expect(await exec(id, 'id -u; stat -c %u:%g / /bin /bin/busybox /made /made/by/us /dev/shm')).toBe(
      '0\n0:0\n0:0\n0:0\n0:0\n0:0\n0:0\n',
    );
    await exec(
      id,
      'echo new > /new; chmod 700 /bin/busybox; chown 7:8 /new; mkdir -p /a/b; chown 65535 /a/b; echo x > /dev/shm/x',
    );
    expect(ownerOf(join(upper(id), 'new'))).toEqual([UID + 7, GID + 8]);
    expect(ownerOf(join(upper(id), 'bin/busybox'))).toEqual([UID, GID]);
    expect(ownerOf(join(upper(id), 'a/b'))).toEqual([UID + 65_535, GID]);
    for (const file of readdirSync(upper(id), { recursive: true, encoding: 'utf8' })) {
      const [uid, gid] = ownerOf(join(upper(id), file));
      expect([uid >= UID && uid < UID + LENGTH, gid >= GID && gid < GID + LENGTH], file).toEqual([
        true,
        true,
      ]);
    }
    expect(ownerOf(join(world.instance.state, 'sandboxes', pod, 'shm/x'))).toEqual([UID, GID]);
    const { info } = await world.client.runtime.containerStatus({ containerId: id, verbose: true });
    const { pid } = JSON.parse(info['info'] ?? '{}') as { readonly pid: number };
    expect(readFileSync(`/proc/${pid}/status`, 'utf8')).toMatch(
      new RegExp(String.raw`^Uid:\s+${UID}\s+${UID}\s`, 'mu'),
    );
    await removePod(world, pod);
    expect(existsSync(join(world.instance.root, 'containers', id))).toBe(false);
  });

  it('S87 owns the files that all containers of the pod share, and can write its resolv.conf and hosts', async () => {
    const pod = await runPod('etc');
    const id = await runContainer(pod, 'main');
    const files = '/etc/resolv.conf /etc/hosts /etc/hostname';
    expect(await exec(id, `stat -c %u:%g:%a ${files}`)).toBe('0:0:644\n'.repeat(3));
    await exec(id, 'echo 10.1.1.1 more >> /etc/hosts; echo options rotate >> /etc/resolv.conf');
    const second = await runContainer(pod, 'second');
    expect(await exec(second, 'tail -n 1 /etc/hosts; tail -n 1 /etc/resolv.conf')).toBe(
      '10.1.1.1 more\noptions rotate\n',
    );
    const own = join(world.instance.state, 'sandboxes', pod, 'etc');
    expect(readdirSync(own).map((name) => ownerOf(join(own, name)))).toEqual(Array(3).fill([UID, GID]));
    expect(statSync(own).uid).toBe(0);
    await removePod(world, pod);
  });

  it.each([
    ['root', {}],
    ['another user', { runAsUser: { value: 1000n }, runAsGroup: { value: 2000n } }],
  ])('opens its stdout, stderr and stdin by name as %s, and so do execs', async (name, security) => {
    const pod = await runPod(`stdio-${name.length}`);
    const script = 'echo out > /dev/stdout; echo err > /dev/stderr';
    const id = await runContainer(pod, 'main', { security, command: ['sh', '-c', `${script}; sleep 3600`] });
    const { stdout, stderr } = await world.client.runtime.execSync({
      containerId: id,
      cmd: ['sh', '-c', script],
      timeout: 30n,
    });
    expect([stdout, stderr].map((bytes) => Buffer.from(bytes).toString())).toEqual(['out\n', 'err\n']);
    const { url } = await world.client.runtime.exec({
      containerId: id,
      cmd: ['sh', '-c', `${script}; cat /dev/stdin`],
      stdin: true,
      stdout: true,
      stderr: true,
    });
    const { client } = await connectSpdy(url, 'v4.channel.k8s.io');
    const streams = await openCommand(client, 'stdin', 'stdout', 'stderr');
    streams.stdin.write('typed');
    streams.stdin.end();
    expect([(await streams.stdout.all).toString(), (await streams.stderr.all).toString()]).toEqual([
      'out\ntyped',
      'err\n',
    ]);
    client.close();
    const { status } = await world.client.runtime.containerStatus({ containerId: id });
    await untilHolds(status?.logPath ?? '', 'stdout F out\n');
    await untilHolds(status?.logPath ?? '', 'stderr F err\n');
    await removePod(world, pod);
  });

  it('runs as another user, with groups of the pod', async () => {
    const pod = await runPod('as');
    const id = await runContainer(pod, 'main', {
      security: { runAsUser: { value: 1000n }, runAsGroup: { value: 2000n }, supplementalGroups: [3000n] },
    });
    expect(await exec(id, 'id -u; id -g; id -G')).toBe('1000\n2000\n2000 3000\n');
    const refused = createContainer(pod, 'none', { security: { runAsUser: { value: 65_536n } } });
    await expect(refused).rejects.toThrow(
      /run as user 65536: the pod's user namespace has ids 0 to 65535 only/u,
    );
    await removePod(world, pod);
  });

  it('owns its network, IPC and host name: sysctls of both, an address, lo up, and a reachable gateway', async () => {
    const sysctls = {
      'net.ipv4.ip_unprivileged_port_start': '0',
      'net.ipv4.ping_group_range': '3 2147483647',
      'kernel.shm_rmid_forced': '1',
      'kernel.domainname': 'shop.example',
    };
    const pod = await runPod('net', { sysctls });
    const id = await runContainer(pod, 'main', {
      security: { capabilities: { addCapabilities: ['NET_ADMIN', 'SYS_ADMIN'] } },
    });
    expect(
      await exec(
        id,
        'cd /proc/sys; cat net/ipv4/ip_unprivileged_port_start net/ipv4/ping_group_range kernel/shm_rmid_forced kernel/domainname; hostname',
      ),
    ).toBe('0\n3\t65535\n1\nshop.example\nnet\n');
    const { status } = await world.client.runtime.podSandboxStatus({ podSandboxId: pod });
    const ip = status?.network?.ip ?? '';
    expect(ip).toMatch(/^10\./u);
    expect(status?.linux?.namespaces?.options?.usernsOptions).toMatchObject({
      mode: NamespaceMode.POD,
      uids,
      gids,
    });
    expect(
      await exec(
        id,
        `ip -o addr show; ping -c 1 -w 10 ${ip.replace(/\.\d+$/u, '.1')} | grep -c "1 packets received"; ip link set lo down; ip link set lo up; hostname other; hostname`,
      ),
    ).toMatch(
      new RegExp(
        String.raw`inet 127\.0\.0\.1/8[^]*inet ${ip.replaceAll('.', String.raw`\.`)}/24[^]*\n1\nother\n$`,
        'u',
      ),
    );
    await removePod(world, pod);
  });

  it.each([
    ['a link out of the root', 'linked', /passwd/u],
    ['too large', 'large', /passwd/u],
  ] as const)(
    'S46 with an /etc/passwd that is %s the user is not looked up, and the pod goes on',
    async (_what, tag, reason) => {
      const pod = await runPod(tag);
      const image = (
        await world.client.image.pullImage({ image: { image: `${world.registry}/test/passwd:${tag}` } })
      ).imageRef;
      const config = create(
        ContainerConfigSchema,
        containerConfig({ name: 'main', image, command: untilTermed(0) }),
      );
      config.linux = create(LinuxContainerConfigSchema, {
        securityContext: { namespaceOptions: namespaceOptions({}), runAsUsername: 'daemon' },
      });
      await expect(world.client.runtime.createContainer({ podSandboxId: pod, config })).rejects.toThrow(
        reason,
      );
      const id = await runContainer(pod, 'next');
      expect(await exec(id, 'cat /proc/self/uid_map')).toMatch(MAP);
      await removePod(world, pod);
    },
  );

  it('a volume with mappings shows and keeps its owners; one without is as on the host', async () => {
    const [mapped, plain] = ['mapped', 'plain'].map((name) =>
      join(world.instance.directory, `volume-${name}`),
    ) as [string, string];
    for (const volume of [mapped, plain]) {
      mkdirSync(volume);
      writeFileSync(join(volume, 'old'), 'old');
    }
    chownSync(join(mapped, 'old'), 5, 6);
    chownSync(plain, UID, GID);
    const pod = await runPod('volume');
    const id = await runContainer(pod, 'main', {
      mounts: [
        { containerPath: '/mapped', hostPath: mapped, uidMappings: uids, gidMappings: gids },
        {
          containerPath: '/mapped-ro',
          hostPath: mapped,
          readonly: true,
          uidMappings: uids,
          gidMappings: gids,
        },
        { containerPath: '/plain', hostPath: plain },
      ],
    });
    expect(await exec(id, 'stat -c %u:%g /mapped /mapped/old /mapped-ro/old /plain /plain/old')).toBe(
      '0:0\n5:6\n5:6\n0:0\n65534:65534\n',
    );
    await exec(id, 'echo x > /mapped/new; echo x > /plain/new; ! echo x 2> /dev/null > /mapped-ro/never');
    expect(ownerOf(join(mapped, 'new'))).toEqual([0, 0]);
    expect(ownerOf(join(plain, 'new'))).toEqual([UID, GID]);
    const { status } = await world.client.runtime.containerStatus({ containerId: id });
    expect(status?.mounts.map(({ uidMappings, gidMappings }) => [uidMappings, gidMappings])).toMatchObject([
      [uids, gids],
      [uids, gids],
      [[], []],
    ]);
    await removePod(world, pod);
  });

  it('S52 files of an image volume and a CDI device belong to the pod, or to nobody in it', async () => {
    const library = join(world.instance.directory, 'library');
    mkdirSync(join(world.instance.directory, 'cdi'));
    writeFileSync(library, 'a library');
    const containerEdits = {
      env: ['GPU=0'],
      deviceNodes: [{ path: '/dev/zero' }],
      mounts: [{ hostPath: library, containerPath: '/lib/gpu', options: ['bind', 'ro'] }],
    };
    writeFileSync(
      join(world.instance.directory, 'cdi/v.json'),
      JSON.stringify({ cdiVersion: '0.6.0', kind: 'v.com/gpu', devices: [{ name: '0', containerEdits }] }),
    );
    const pod = await runPod('image-volume');
    const image = await world.pull();
    const id = await runContainer(pod, 'main', {
      cdi: ['v.com/gpu=0'],
      mounts: [
        { containerPath: '/v', readonly: true, image: { image } },
        { containerPath: '/sub', readonly: true, image: { image }, imageSubPath: 'etc' },
      ],
    });
    expect(
      await exec(
        id,
        'stat -c %u:%g /v /v/bin/busybox /sub/passwd /lib/gpu; cat /lib/gpu; head -c 2 /dev/zero | wc -c; ! echo x 2> /dev/null > /v/new',
      ),
    ).toBe('0:0\n0:0\n0:0\n0:0\na library2\n');
    await removePod(world, pod);
  });

  it.each<[string, UsernsRequest]>([
    ['a terminal', { tty: true }],
    ['a read-only root', { security: { readonlyRootfs: true } }],
    ['a privileged container', { pod: { privileged: true }, security: { privileged: true } }],
    ['a shared PID namespace', { namespaces: { pid: NamespaceMode.POD } }],
    ['the PID namespace of the host', { namespaces: { pid: NamespaceMode.NODE } }],
    ['the IPC of the host', { namespaces: { ipc: NamespaceMode.NODE } }],
    ['the network of the host', { namespaces: { network: NamespaceMode.NODE } }],
  ])('works with %s', async (_what, request) => {
    const pod = await runPod('with', request);
    const id = await runContainer(pod, 'main', request);
    expect(await exec(id, 'cat /proc/self/uid_map')).toMatch(MAP);
    expect(
      await exec(
        id,
        'test -e /sys/class/net/lo && test -e /sys/fs/cgroup && ls /dev/null /dev/shm /dev/pts > /dev/null && echo all',
      ),
    ).toBe('all\n');
    expect((await world.instance.crictl(['exec', id, 'id', '-u'])).stdout).toBe('0\n');
    if (request.namespaces?.pid === NamespaceMode.POD)
      expect(await exec(id, 'cat /proc/1/comm')).toBe('pause\n');
    if (request.namespaces?.network === NamespaceMode.NODE) {
      expect(await exec(id, 'readlink /proc/self/ns/net')).toBe(
        `net:[${statSync('/proc/self/ns/net').ino}]\n`,
      );
      // on mixed cgroups the runtime's own tmpfs lies over the host's directory; the hierarchies in it count
      expect(
        await exec(id, 'for at in /sys/fs/cgroup/memory /sys/kernel; do mkdir $at/x 2>&1 || true; done'),
      ).toMatch(/^(?:mkdir: .*Read-only file system\n){2}$/u);
    }
    await world.client.runtime.stopContainer({ containerId: id, timeout: 30n });
    await removePod(world, pod);
  });

  it('S19 only the path to its own root is open to it', async () => {
    const pod = await runPod('way');
    const id = await runContainer(pod, 'main');
    const { root, state } = world.instance;
    const mode = (path: string): number => statSync(path).mode & 0o7777;
    expect([mode(root), mode(join(root, 'containers')), mode(join(root, 'containers', id))]).toEqual([
      0o711, 0o711, 0o710,
    ]);
    const closed = [
      join(root, 'layers'),
      join(root, 'journal'),
      join(state, 'containers'),
      join(state, 'exits'),
      join(state, 'sandboxes'),
      join(state, 'runtimes'),
    ];
    for (const path of [...closed, join(root, 'containers', id)])
      expect(asNobody(['/bin/ls', path]), path).toBe(false);
    expect(asNobody(['/bin/ls', join(root, 'containers')])).toBe(false);
    expect(asNobody(['/usr/bin/stat', join(root, 'containers', id, 'rootfs')])).toBe(false);
    await removePod(world, pod);
  });

  it('outlives kill -9 of the daemon; the next daemon makes further containers in it and removes all', async () => {
    const { runtime } = world.client;
    const pod = await runPod('kill', { namespaces: { pid: NamespaceMode.POD } });
    const request = { command: untilTermed(5), namespaces: { pid: NamespaceMode.POD } };
    const first = await createContainer(pod, 'first', request);
    await startUntilUp(world.client, first);
    await world.instance.kill();
    await world.instance.start();
    const { status } = await runtime.podSandboxStatus({ podSandboxId: pod });
    expect(status?.linux?.namespaces?.options?.usernsOptions).toMatchObject({ uids, gids });
    const second = await runContainer(pod, 'second', request);
    const namespace = 'readlink /proc/self/ns/user';
    expect(await exec(second, namespace)).toBe(await exec(first, namespace));
    await runtime.stopContainer({ containerId: first, timeout: 60n });
    expect((await runtime.containerStatus({ containerId: first })).status).toMatchObject({ exitCode: 5 });
    await removePod(world, pod);
    expect(existsSync(join(world.instance.state, 'ns', pod))).toBe(false);
  });
});
