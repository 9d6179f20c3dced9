// A machine that is started again and again under one instance: what is in the kernel and in memory is gone, disks
// stay.
import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sweepMachine } from '../../support/sweep.ts';
import { makeWorld, type World } from '../support/world.ts';

export interface Machine {
  readonly world: World;
  /** The daemon dies with all else; what the boot script of the machine does comes before its next start. */
  readonly reboot: (beforeStart?: () => void) => Promise<void>;
  /** The directory of the CNI plugins, this instance's alone. */
  readonly plugins: string;
  /** Addresses that the bridge's IPAM has given away; on disk. */
  readonly leases: () => readonly string[];
}

const BOOT_ID = 'boot-id';
const PLUGINS = ['/opt/cni/bin', '/usr/lib/cni', '/usr/libexec/cni'];

/**
 * Each instance of the daemon has mounts of its own, with a fresh tmpfs as its state directory and another boot id:
 * they are gone with the last process in them. Processes, cgroups, links and rules are taken away by the sweep.
 */
export async function makeMachine(name: string): Promise<Machine> {
  const world = await makeWorld({
    name,
    before: (directory) => {
      newBoot(directory);
      ownPlugins(directory);
      const memory = join(directory, 'state');
      mkdirSync(memory);
      const script =
        'mount -t tmpfs -o mode=711 none "$1" && mount --bind "$2" /proc/sys/kernel/random/boot_id && shift 2 && exec "$@"';
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
