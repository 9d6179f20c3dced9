// Images and requests that want to touch the host, on the running daemon with real runc. Each test is named after its
// row.
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { chmod, lstat, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { busyboxEntries } from '../../scripts/support/busybox-image.ts';
import { imageOf, layerOf, type RunConfig } from '../../scripts/support/image.ts';
import type { TarEntry } from '../../scripts/support/tar.ts';
import { NamespaceMode, SecurityProfile_ProfileType } from '../../src/gen/runtime/v1/api_pb.ts';
import { makeWorld, type World } from '../e2e/support/world.ts';
import { staticBusybox } from '../support/tools/debian.ts';
import { notRoot, unless } from '../support/skips/unless.ts';

const isRoot = process.getuid?.() === 0;
if (!isRoot) console.log('skipped: hostile images need root');

const OWN_PIDS = { pid: NamespaceMode.CONTAINER };
const canary = await mkdtemp(join(tmpdir(), 'troupe-canary-'));

/**
 * An image that links `/etc` and friends to the canary on the host, by a way that only resolves outside of the root.
 */
const outside = `../../../../../../../../${canary.slice(1)}`;
const link = (path: string): TarEntry => ({ type: 'symlink', path, target: outside });
const without =
  (paths: readonly string[]) =>
  (entry: TarEntry): boolean =>
    !paths.some((path) => entry.path === path || entry.path.startsWith(`${path}/`));

function hostile(links: readonly string[], config: RunConfig = {}) {
  const entries = isRoot ? busyboxEntries(staticBusybox()) : [];
  return imageOf({ Cmd: ['sleep', '600'], ...config }, [
    layerOf([...entries.filter(without(links)), ...links.map(link)]),
  ]);
}

const images = new Map([
  ['evil/etc:1', hostile(['etc'])],
  ['evil/dirs:1', hostile(['run', 'tmp', 'var'])],
  ['evil/proc:1', hostile(['proc'])],
  ['evil/workdir:1', hostile(['home'], { WorkingDir: '/home/made/by/workdir' })],
  ['evil/fd:1', hostile([], { WorkingDir: '/proc/self/fd/8' })],
  ['evil/exe:1', hostile([], { Entrypoint: ['/proc/self/exe'] })],
  ['evil/user:1', hostile([], { User: '4294967296' })],
  ['evil/volume:1', hostile([], { Env: ['LD_PRELOAD=/evil.so', 'NODE_OPTIONS=--inspect'] })],
]);

async function canaryContent(): Promise<readonly string[]> {
  return (await readdir(canary, { recursive: true })).toSorted();
}

unless(describe, notRoot())('hostile images and requests', () => {
  let world: World;
  let pods = 0;

  beforeAll(async () => {
    world = await makeWorld({ name: 'sec', images });
    await writeFile(join(canary, 'secret'), 'untouched\n');
    await chmod(canary, 0o755);
  });

  afterAll(async () => {
    await world?.close();
    await rm(canary, { recursive: true, force: true });
  });

  /** A pod with one container of the image; ids, and how creating or starting it ended. */
  async function run(image: string, config: object = {}, pod: object = {}) {
    const { runtime, image: imageService } = world.client;
    pods += 1;
    const { imageRef } = await imageService.pullImage({ image: { image: `${world.registry}/${image}` } });
    const sandboxConfig = {
      metadata: { name: `p${pods}`, namespace: 'sec', uid: `u${pods}`, attempt: 0 },
      logDirectory: join(world.logs, `p${pods}`),
      linux: { securityContext: { namespaceOptions: OWN_PIDS } },
      ...pod,
    };
    const { podSandboxId } = await runtime.runPodSandbox({ config: sandboxConfig });
    const create = async (): Promise<string> => {
      const { containerId } = await runtime.createContainer({
        podSandboxId,
        sandboxConfig,
        config: {
          metadata: { name: 'c', attempt: 0 },
          image: { image: imageRef },
          logPath: 'c.log',
          linux: { securityContext: { namespaceOptions: OWN_PIDS } },
          ...config,
        },
      });
      await runtime.startContainer({ containerId });
      return containerId;
    };
    const result = await create().then(
      (containerId) => ({ containerId, refusal: '' }),
      (error: Error) => ({ containerId: '', refusal: error.message }),
    );
    return { podSandboxId, ...result };
  }

  async function remove(podSandboxId: string): Promise<void> {
    await world.client.runtime.stopPodSandbox({ podSandboxId });
    await world.client.runtime.removePodSandbox({ podSandboxId });
  }

  it.each([
    ['S07 S44 /etc', 'evil/etc:1'],
    ['S07 /run, /tmp and /var', 'evil/dirs:1'],
    ['S39 /proc', 'evil/proc:1'],
    ['S55 the working directory', 'evil/workdir:1'],
  ])(
    '%s as a link to the host leaves the host unchanged, whether the container runs or not',
    async (_row, image) => {
      const { podSandboxId } = await run(image);
      await remove(podSandboxId);
      expect(await canaryContent()).toEqual(['secret']);
      expect(readFileSync(join(canary, 'secret'), 'utf8')).toBe('untouched\n');
      expect((await lstat(canary)).mode & 0o777).toBe(0o755);
    },
  );

  it('S38 a working directory among our descriptors is refused', async () => {
    const { podSandboxId, containerId, refusal } = await run('evil/fd:1');
    if (containerId !== '') {
      const { stdout } = await world.client.runtime.execSync({
        containerId,
        cmd: ['sh', '-c', 'ls -l /proc/1/fd'],
        timeout: 10n,
      });
      const targets = Buffer.from(stdout).toString().match(/-> .*/gu) ?? [];
      expect(targets.filter((target) => !/pipe:|\/dev\/null|socket:/u.test(target))).toEqual([]);
    } else expect(refusal).not.toBe('');
    await remove(podSandboxId);
  });

  it('S36 the runtime as entry point through /proc/self/exe stays the same file', async () => {
    const runc = readFileSync('/usr/sbin/runc');
    const { podSandboxId } = await run('evil/exe:1');
    await remove(podSandboxId);
    expect(readFileSync('/usr/sbin/runc').equals(runc)).toBe(true);
  });

  it('S25 a user number that would wrap to root is refused by name', async () => {
    await expect(run('evil/user:1')).rejects.toThrow(/user/iu);
  });

  it('S64 the image’s environment reaches the container and none of our helpers', async () => {
    const { podSandboxId, containerId, refusal } = await run('evil/volume:1');
    expect(refusal).toBe('');
    const { stdout } = await world.client.runtime.execSync({ containerId, cmd: ['env'], timeout: 10n });
    expect(Buffer.from(stdout).toString()).toContain('LD_PRELOAD=/evil.so');
    const { stdout: processes } = await promisify(execFile)('pgrep', ['-f', `conmon.*${containerId}`]);
    const monitors = processes
      .trim()
      .split('\n')
      .filter((pid) => existsSync(`/proc/${pid}/environ`));
    expect(monitors.length).toBeGreaterThan(0);
    for (const pid of monitors)
      expect(readFileSync(`/proc/${pid}/environ`, 'utf8')).not.toMatch(/LD_PRELOAD|NODE_OPTIONS/u);
    await remove(podSandboxId);
  });

  it('S11 S73 S35 S72 the first container is confined: capabilities, seccomp, masked and read-only paths', async () => {
    const user = { runAsUser: { value: 1000n } };
    const { podSandboxId, containerId, refusal } = await run('test/busybox:1', {
      command: ['sleep', '600'],
      linux: {
        securityContext: {
          namespaceOptions: OWN_PIDS,
          noNewPrivs: true,
          seccomp: { profileType: SecurityProfile_ProfileType.RuntimeDefault },
          maskedPaths: ['/proc/kcore', '/sys/firmware'],
          readonlyPaths: ['/proc/sys'],
          ...user,
        },
      },
    });
    expect(refusal).toBe('');
    const { stdout } = await world.client.runtime.execSync({
      containerId,
      cmd: [
        'sh',
        '-c',
        'cat /proc/self/status; echo x > /proc/sys/kernel/domainname; cat /proc/kcore | head -c 1 | wc -c; ls /sys/firmware | wc -l',
      ],
      timeout: 10n,
    });
    const text = Buffer.from(stdout).toString();
    const field = (name: string): string => new RegExp(`^${name}:\\s+(\\S+)`, 'mu').exec(text)?.[1] ?? '';
    expect(field('CapEff')).toBe('0000000000000000');
    expect(field('CapInh')).toBe('0000000000000000');
    expect(field('CapAmb')).toBe('0000000000000000');
    expect(field('CapBnd')).toBe('00000000a80425fb');
    expect(field('NoNewPrivs')).toBe('1');
    expect(field('Seccomp')).toBe('2');
    expect(text.trimEnd().split('\n').slice(-2)).toEqual(['0', '0']);
    await remove(podSandboxId);
  });

  it('S32 S75 a log that is a link, and a log path that leaves its directory, are refused', async () => {
    const logs = join(world.logs, 'linked');
    await mkdir(logs);
    await symlink(join(canary, 'secret'), join(logs, 'c.log'));
    const linked = await run('test/busybox:1', {}, { logDirectory: logs });
    expect(linked.refusal).toMatch(/log/u);
    await remove(linked.podSandboxId);
    const left = await run('test/busybox:1', { logPath: '../../escape.log' });
    expect(left.refusal).toMatch(/log_path/u);
    await remove(left.podSandboxId);
    expect(readFileSync(join(canary, 'secret'), 'utf8')).toBe('untouched\n');
  });

  it('S01 S02 a sysctl that contains another, or belongs to the host, is refused, and the host’s stay', async () => {
    const before = readFileSync('/proc/sys/kernel/core_pattern', 'utf8');
    for (const sysctls of [
      { 'kernel.shm_rmid_forced': '1+kernel.core_pattern=x' },
      { 'kernel.core_pattern': 'x' },
      { 'vm.swappiness': '1' },
    ]) {
      await expect(
        run('test/busybox:1', {}, { linux: { sysctls, securityContext: { namespaceOptions: OWN_PIDS } } }),
      ).rejects.toThrow(/sysctl/u);
    }
    expect(readFileSync('/proc/sys/kernel/core_pattern', 'utf8')).toBe(before);
  });

  it('S05 S06 annotations of the pod never reach the runtime', async () => {
    const annotations = {
      'org.systemd.property.ExecStart': 'x',
      'run.oci.hooks.stdout': '/tmp/x',
      'module.wasm.image/variant': 'compat',
    };
    const { podSandboxId, containerId } = await run('test/busybox:1', {
      annotations,
      command: ['sleep', '600'],
    });
    const spec = JSON.parse(
      readFileSync(join(world.instance.state, 'containers', containerId, 'bundle/config.json'), 'utf8'),
    ) as { annotations: object };
    expect(Object.keys(spec.annotations).filter((key) => key in annotations)).toEqual([]);
    await remove(podSandboxId);
  });

  it('S19 S69 another user can neither enter our directories nor connect', async () => {
    for (const path of [
      join(world.instance.state, 'containers'),
      join(world.instance.state, 'exits'),
      join(world.instance.root, 'journal'),
      world.instance.socket,
    ]) {
      expect([path, (await lstat(path)).mode & 0o077]).toEqual([path, 0]);
    }
  });

  it('I16 nothing is left on the machine', async () => {
    expect(await world.leftovers()).toEqual([]);
  });
});
