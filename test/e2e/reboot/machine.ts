// A machine that is started again and again under one instance: what is in the kernel and in memory is gone, disks
// stay.
import { randomUUID } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sweepMachine } from '../../support/sweep.ts';
import { until } from '../../support/eventually.ts';
import { makeWorld, type World, type WorldOptions } from '../support/world.ts';

export interface Machine {
  readonly world: World;
  /** The daemon dies with all else; what the boot script of the machine does comes before its next start. */
  readonly reboot: (beforeStart?: () => void) => Promise<void>;
  /** The directory of the CNI plugins, this instance's alone. */
  readonly plugins: string;
  /** Addresses that the bridge's IPAM has given away; on disk. */
  readonly leases: () => readonly string[];
}

export interface MachineOptions extends Pick<WorldOptions, 'images'> {
  /** Size of an ext4 that the daemon's root is, mounted at each start; without it the root is on the machine's disk. */
  readonly diskBytes?: number;
}

const BOOT_ID = 'boot-id';
const PLUGINS = ['/opt/cni/bin', '/usr/lib/cni', '/usr/libexec/cni'];

/**
 * Each instance of the daemon has mounts of its own, with a fresh tmpfs as its state directory and another boot id:
 * they are gone with the last process in them. Processes, cgroups, links and rules are taken away by the sweep.
 */
export async function makeMachine(
  name: string,
  { diskBytes, ...options }: MachineOptions = {},
): Promise<Machine> {
  const diskOf = (directory: string): string => join(directory, 'disk.img');
  const world = await makeWorld({
    name,
    ...options,
    before: (directory) => {
      newBoot(directory);
      ownPlugins(directory);
      const memory = join(directory, 'state');
      mkdirSync(memory);
      const root = join(directory, 'root');
      if (diskBytes !== undefined) makeDisk(diskOf(directory), diskBytes, root);
      const mountDisk = diskBytes === undefined ? 'true' : 'mount -o loop "$3" "$4"';
      const script = `mount -t tmpfs -o mode=711 none "$1" && mount --bind "$2" /proc/sys/kernel/random/boot_id && ${mountDisk} && shift 4 && exec "$@"`;
      return [
        'unshare',
        '--mount',
        '--propagation',
        'private',
        'sh',
        '-c',
        script,
        'boot',
        memory,
        join(directory, BOOT_ID),
        diskOf(directory),
        root,
      ];
    },
  });
  const { instance } = world;
  return {
    world,
    plugins: join(instance.directory, 'plugins'),
    reboot: async (beforeStart = () => undefined) => {
      await instance.kill();
      await sweepMachine(instance.words);
      if (diskBytes !== undefined) await untilDetached(diskOf(instance.directory));
      newBoot(instance.directory);
      beforeStart();
      await instance.start();
    },
    leases: () => {
      const names = readdirSync(join(instance.directory, 'leases'), { recursive: true }).map(String);
      return names
        .map((path) => path.split('/').at(-1) ?? '')
        .filter((file) => /^\d+\.\d+\.\d+\.\d+$/u.test(file));
    },
  };
}

/** An ext4 for the daemon's root. */
function makeDisk(disk: string, bytes: number, root: string): void {
  writeFileSync(disk, '');
  truncateSync(disk, bytes);
  execFileSync('mkfs.ext4', ['-q', disk]);
  mkdirSync(root, { mode: 0o700 });
}

/** Its file system goes with the last process that has it mounted; mounted twice it would be destroyed. */
async function untilDetached(disk: string): Promise<void> {
  await until(() => execFileSync('losetup', ['--associated', disk], { encoding: 'utf8' }) === '');
}

/** So that a test can take them away. */
function ownPlugins(directory: string): void {
  const plugins = join(directory, 'plugins');
  mkdirSync(plugins);
  const from = PLUGINS.find((place) => existsSync(join(place, 'bridge'))) ?? '';
  for (const name of readdirSync(from)) symlinkSync(join(from, name), join(plugins, name));
  mkdirSync(join(directory, 'troupe.toml.d'));
  writeFileSync(
    join(directory, 'troupe.toml.d/10-plugins.toml'),
    `[network]\nplugin_dirs = ["${plugins}"]\n`,
  );
}

function newBoot(directory: string): void {
  writeFileSync(join(directory, BOOT_ID), `${randomUUID()}\n`);
}
