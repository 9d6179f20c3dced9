// Pods on each storage driver that this machine can run, through the death of the daemon; and what is refused.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { gatedProgram, isRunning } from '../../support/gated-program.ts';
import { run } from '../../support/run.ts';
import { storageDrivers } from '../../support/storage-drivers.ts';
import type { DriverTrial } from '../../support/storage-drivers.ts';
import { checkout } from '../../support/tools/cache.ts';
import { describePods } from '../support/crictl.ts';
import { containerConfig, sandboxConfig, untilTermed } from '../support/pods.ts';
import { makeWorld } from '../support/world.ts';
import type { World } from '../support/world.ts';
import { until } from '../../support/eventually.ts';
import { notRoot, unless } from '../../support/skips/unless.ts';

const program = join(checkout, 'bin/troupe');

/** The keys of a driver. */
function settings({ name, program: own }: Pick<DriverTrial, 'name' | 'program'>): string {
  const keys: Readonly<Record<string, string>> = {
    'fuse-overlayfs': 'mount_program',
    erofs: 'erofs_program',
  };
  const key = keys[name];
  return `[storage]\ndriver = "${name}"\n${key === undefined ? '' : `${key} = "${own}"\n`}`;
}

async function aPod(
  world: World,
  name: string,
  image: string,
): Promise<{ readonly podSandboxId: string; readonly containerId: string }> {
  const { runtime } = world.client;
  const config = sandboxConfig({ name, logDirectory: join(world.logs, name) });
  const { podSandboxId } = await runtime.runPodSandbox({ config });
  const { containerId } = await runtime.createContainer({
    podSandboxId,
    sandboxConfig: config,
    config: containerConfig({ name: 'c', image, command: untilTermed(0) }),
  });
  await runtime.startContainer({ containerId });
  return { podSandboxId, containerId };
}

const inContainer = async (
  world: World,
  containerId: string,
  ...cmd: string[]
): Promise<readonly [number, string]> => {
  const { exitCode, stdout } = await world.client.runtime.execSync({ containerId, cmd });
  return [exitCode, Buffer.from(stdout).toString()];
};

/** fuse-overlayfs of this instance. */
const servers = (world: World): number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/u.test(name))
    .map(Number)
    .filter((pid) => {
      const words = existsSync(`/proc/${pid}/cmdline`)
        ? readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
        : [];
      return (
        words.some((word) => word.endsWith('/fuse-overlayfs')) &&
        words.some((word) => word.startsWith(`${world.instance.root}/`))
      );
    });

describePods('storage drivers with pods', () => {
  for (const trial of storageDrivers()) {
    if (trial.name === 'btrfs' || trial.whyNot !== '') {
      const why =
        trial.name === 'btrfs' ? 'needs a disk of its own: test/integration/storage has one' : trial.whyNot;
      unless(it, why)(`pods on ${trial.name}`, () => undefined);
      continue;
    }
    it(`F02 I16 ${trial.name}: a pod runs, goes on when the daemon is killed, and leaves nothing`, async () => {
      const world = await makeWorld({ name: 'stor', config: settings(trial) });
      try {
        const image = await world.pull();
        const { podSandboxId, containerId } = await aPod(world, 'web', image);
        expect(
          await inContainer(world, containerId, 'sh', '-c', 'echo mine > /etc/mine && cat /etc/mine'),
        ).toEqual([0, 'mine\n']);
        expect((await run([program, 'status', '--state', world.instance.state])).stdout).toContain(
          `storage     ${trial.name} at ${world.instance.root}\n`,
        );
        await world.instance.kill();
        await world.instance.start();
        expect(await inContainer(world, containerId, 'cat', '/etc/mine')).toEqual([0, 'mine\n']);
        const other = await aPod(world, 'second', image);
        expect((await inContainer(world, other.containerId, 'ls', '/etc/mine'))[0]).not.toBe(0);
        const { imageFilesystems, containerFilesystems } = await world.client.image.imageFsInfo({});
        expect(
          [
            imageFilesystems[0]?.usedBytes?.value ?? 0n,
            containerFilesystems[0]?.usedBytes?.value ?? 0n,
          ].every((bytes) => bytes > 0n),
        ).toBe(true);
        const check = await run([
          program,
          'check',
          '--state',
          world.instance.state,
          '--config',
          join(world.instance.directory, 'troupe.toml'),
          '--root',
          world.instance.root,
        ]);
        expect([check.code, check.stdout]).toEqual([0, expect.not.stringContaining('I1') as string]);
        for (const id of [podSandboxId, other.podSandboxId])
          await world.client.runtime.removePodSandbox({ podSandboxId: id });
        expect(servers(world)).toEqual([]);
        expect(await world.leftovers()).toEqual([]);
      } finally {
        await world.close();
      }
    });
  }
});

const fuse = storageDrivers().find(({ name }) => name === 'fuse-overlayfs');
describePods('fuse-overlayfs', () => {
  unless(it, fuse === undefined ? 'needs /dev/fuse' : fuse.whyNot)(
    'F02: after a kill before the FUSE program has mounted, the next daemon ends the program, which mounts nothing later',
    async () => {
      const directory = mkdtempSync(join(tmpdir(), 'troupe-late-'));
      const late = gatedProgram(directory, fuse?.program ?? '');
      const world = await makeWorld({
        name: 'late',
        config: settings({ name: 'fuse-overlayfs', program: late.path }),
      });
      try {
        const image = await world.pull();
        const cut = aPod(world, 'cut', image).catch(() => 'cut');
        const pid = await late.started();
        await world.instance.kill();
        expect([await cut, isRunning(pid)]).toEqual(['cut', true]);
        await world.instance.start();
        expect([
          isRunning(pid),
          (await world.instance.log()).includes(
            'ended fuse-overlayfs process that an earlier daemon was starting',
          ),
        ]).toEqual([false, true]);
        // nobody is left to take this; the next container's program does
        late.open();
        const { containerId } = await aPod(world, 'next', image);
        expect(await inContainer(world, containerId, 'echo', 'well')).toEqual([0, 'well\n']);
        for (const { id } of (await world.client.runtime.listPodSandbox({})).items)
          await world.client.runtime.removePodSandbox({ podSandboxId: id });
        expect(await world.leftovers()).toEqual([]);
        expect([readdirSync(join(world.instance.root, 'trash')), servers(world)]).toEqual([[], []]);
      } finally {
        await world.close();
        late.close();
        rmSync(directory, { recursive: true, force: true });
      }
    },
  );

  unless(it, fuse === undefined ? 'needs /dev/fuse' : fuse.whyNot)(
    'the FUSE process is in the cgroup of the pod’s monitors; its death is reported, and its container can be removed',
    async () => {
      const world = await makeWorld({
        name: 'fuse',
        config: settings(fuse ?? { name: 'fuse-overlayfs', program: '' }),
      });
      try {
        const { podSandboxId, containerId } = await aPod(world, 'web', await world.pull());
        const [pid = 0, ...more] = servers(world);
        expect(more).toEqual([]);
        expect(readFileSync(`/proc/${pid}/cgroup`, 'utf8')).toMatch(
          new RegExp(`^\\d+:[^:]*memory[^:]*:/.*/troupe-sandbox-${podSandboxId}/monitors$`, 'mu'),
        );
        // one that an earlier daemon started is watched as well
        await world.instance.kill();
        await world.instance.start();
        process.kill(pid, 'SIGKILL');
        await until(async () =>
          (await world.instance.log()).includes('fuse-overlayfs process exited while its mount is in use'),
        );
        expect((await world.client.runtime.listContainers({})).containers.map(({ id }) => id)).toEqual([
          containerId,
        ]);
        await world.client.runtime.removePodSandbox({ podSandboxId });
        expect(await world.leftovers()).toEqual([]);
      } finally {
        await world.close();
      }
    },
  );
});

describe('drivers that a store can not have', () => {
  const directory = mkdtempSync(join(tmpdir(), 'troupe-refused-'));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  const serve = async (name: string, storage: string): Promise<readonly [number | null, string]> => {
    const config = join(directory, `${name}.toml`);
    writeFileSync(config, `[storage]\n${storage}\n[network]\nconfig_dir = "${directory}"\n`);
    const at = (what: string): string[] => [`--${what}`, join(directory, name, what)];
    const { code, stderr, stdout } = await run([
      program,
      'serve',
      '--config',
      config,
      ...at('root'),
      ...at('state'),
      ...at('socket'),
    ]);
    return [code, `${stdout}${stderr}`];
  };

  unless(it, notRoot())(
    'a missing driver is refused with the reason and the exit code of an invalid configuration',
    async () => {
      const [code, said] = await serve('gone', 'driver = "devicemapper"');
      expect([code, said]).toEqual([
        78,
        expect.stringContaining('containers/storage and Docker have removed it') as string,
      ]);
    },
  );

  unless(it, notRoot())('a driver other than the one that made the store is refused', async () => {
    const layer = join(directory, 'switch/root/layers', 'a'.repeat(64));
    execFileSync('mkdir', ['-p', layer]);
    const [code, said] = await serve('switch', 'driver = "vfs"');
    expect([code, said]).toEqual([
      78,
      expect.stringContaining('has images or containers of the storage driver overlay') as string,
    ]);
  });
});
