import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { realClock } from '../../../src/host/clock/clock.ts';
import { stopKernelThread } from '../../../src/host/kernel-thread/kernel-thread.ts';
import {
  isNamespacePin,
  pinNamespaces,
  preparePinRoot,
  releasePinRoot,
  unpinNamespaces,
} from '../../../src/host/namespaces/namespaces.ts';
import { attachMount, unmount } from '../../../src/host/mounts/mounts.ts';
import { runTool } from '../../../src/host/process/process-tool.ts';
import { idmappedTree } from '../../../src/host/mounts/userns-idmap.ts';
import { withUserNamespace } from '../../../src/host/namespaces/userns-process.ts';
import { describeAsRoot, mountPointsBelow, scratchDirectory } from './support.ts';
import { EVENT_MS } from '../../support/patience.ts';

const clock = realClock();
const KINDS = ['net', 'ipc', 'uts', 'user'] as const;
const mappings = {
  uids: { containerId: 0, hostId: 70_000, length: 65_536 },
  gids: { containerId: 0, hostId: 140_000, length: 65_536 },
};

describeAsRoot('a user namespace of a pod', () => {
  const scratch = scratchDirectory('userns');
  const root = join(scratch, 'ns');
  const user = { program: join(scratch, 'program'), mappings };

  beforeAll(() => preparePinRoot(root));
  afterAll(async () => {
    for (const name of existsSync(root) ? readdirSync(root) : []) await unpinNamespaces(join(root, name));
    await stopKernelThread();
    await releasePinRoot(root);
    expect(mountPointsBelow(scratch)).toEqual([]);
  });

  /** What a program prints that runs as root of the pinned namespaces. */
  async function inside(directory: string, argv: readonly string[]): Promise<string> {
    const enter = KINDS.map((kind) => `--${kind}=${join(directory, kind)}`);
    const result = await runTool({
      argv: ['/usr/bin/nsenter', ...enter, '--setuid=0', '--setgid=0', '--', ...argv],
      timeoutMs: EVENT_MS,
      clock,
    });
    expect(Buffer.from(result.stderr).toString()).toBe('');
    return Buffer.from(result.stdout).toString();
  }

  const childrenOfOurs = (): string[] =>
    readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8')
      .split(' ')
      .filter((pid) => pid !== '');

  test('owns the pod: its root sets the host name and network sysctls, and lo is up; the pinning process has ended', async () => {
    const directory = join(root, 'pod');
    const before = childrenOfOurs();
    const sysctls = [
      { name: 'net.ipv4.ip_unprivileged_port_start', value: '77' },
      { name: 'kernel.shmmni', value: '99' },
    ];
    const paths = await pinNamespaces(
      { directory, net: true, ipc: true, uts: true, user, hostname: 'pod-1', sysctls },
      clock,
    );
    expect(paths).toEqual(Object.fromEntries(KINDS.map((kind) => [kind, join(directory, kind)])));
    expect(childrenOfOurs()).toEqual(before);
    expect(await inside(directory, ['/bin/cat', '/proc/self/uid_map', '/proc/self/gid_map'])).toMatch(
      /^\s+0\s+70000\s+65536\n\s+0\s+140000\s+65536\n$/u,
    );
    expect(
      await inside(directory, [
        '/bin/cat',
        '/proc/sys/kernel/hostname',
        '/proc/sys/net/ipv4/ip_unprivileged_port_start',
        '/proc/sys/kernel/shmmni',
      ]),
    ).toBe('pod-1\n77\n99\n');
    expect(
      await inside(directory, ['/sbin/sysctl', '-w', 'net.ipv4.ip_unprivileged_port_start=5']),
    ).toContain('= 5');
    expect(await inside(directory, ['/bin/hostname', 'pod-2'])).toBe('');
    expect(await inside(directory, ['/sbin/ip', '-o', 'link', 'show', 'lo'])).toContain('UP');
    expect(readlinkSync('/proc/self/ns/net')).not.toBe(`net:[${statSync(join(directory, 'net')).ino}]`);
    // what is there already is kept, whole
    const inode = statSync(join(directory, 'user')).ino;
    await pinNamespaces({ directory, net: true, ipc: true, uts: true, user, sysctls: [] }, clock);
    expect(statSync(join(directory, 'user')).ino).toBe(inode);
    await unmount(join(directory, 'user'));
    await pinNamespaces({ directory, net: true, ipc: true, uts: true, user, sysctls: [] }, clock);
    expect(await isNamespacePin(join(directory, 'user'))).toBe(true);
    expect(await inside(directory, ['/bin/hostname'])).not.toContain('pod-2');
    await unpinNamespaces(directory);
    expect(existsSync(directory)).toBe(false);
  });

  test('can be the only namespace of a pod that has all others of the host', async () => {
    const directory = join(root, 'alone');
    expect(
      await pinNamespaces({ directory, net: false, ipc: false, uts: false, user, sysctls: [] }, clock),
    ).toEqual({ user: join(directory, 'user') });
    expect(readdirSync(directory)).toEqual(['user']);
    await unpinNamespaces(directory);
  });

  test('a mapping that the kernel refuses leaves nothing', async () => {
    const directory = join(root, 'refused');
    const before = childrenOfOurs();
    const beyond = { ...mappings, gids: { containerId: 0, hostId: 4_294_967_295, length: 1 } };
    const request = {
      directory,
      net: true,
      ipc: true,
      uts: true,
      user: { ...user, mappings: beyond },
      sysctls: [],
    };
    await expect(pinNamespaces(request, clock)).rejects.toThrow(
      /map 1 ids from 4294967295 on, in gid_map: EINVAL/u,
    );
    expect(readdirSync(directory)).toEqual([]);
    expect(childrenOfOurs()).toEqual(before);
    await unpinNamespaces(directory);
  });

  test('files of a mapped mount belong to the mapped ids', async () => {
    const source = join(scratch, 'layer');
    const target = join(scratch, 'shown');
    mkdirSync(source);
    mkdirSync(target);
    writeFileSync(join(source, 'file'), '');
    await withUserNamespace(user, 'a test', clock, async (from) =>
      attachMount(await idmappedTree(source, `${from}/user`), 'attach', target),
    );
    const { uid, gid } = statSync(join(target, 'file'));
    expect([uid, gid]).toEqual([70_000, 140_000]);
    expect(statSync(join(source, 'file')).uid).toBe(0);
    await unmount(target);
  });

  test('a file system without id mapping is reported as such', async () => {
    const refused = withUserNamespace(user, 'a test', clock, (from) =>
      idmappedTree('/proc/sys', `${from}/user`),
    );
    await expect(refused).rejects.toMatchObject({
      fault: {
        kind: 'unsupported',
        message: expect.stringContaining('the file system does not support ID-mapped mounts') as string,
      },
    });
  });
});
