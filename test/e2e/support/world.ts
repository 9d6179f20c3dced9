// An instance with a registry beside it and a busybox image to pull: what every end-to-end test starts from.
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { busyboxImage } from '../../../scripts/support/busybox-image.ts';
import { criClient, type CriClient } from '../../../scripts/support/cri-client.ts';
import type { Image } from '../../../scripts/support/image.ts';
import { startTinyRegistry } from '../../../scripts/support/tiny-registry.ts';
import { differencesWhenSettled, type Machine, snapshotMachine } from '../../support/baseline.ts';
import { type Instance, type InstanceOptions, isLeftByDesign, makeInstance } from '../../support/instance.ts';
import { staticBusybox } from '../../support/tools/debian.ts';

export interface World {
  readonly instance: Instance;
  /** The CRI's, of the instance. */
  readonly socket: string;
  /** `127.0.0.1:port`. */
  readonly registry: string;
  /** `127.0.0.1:port/test/busybox:1`, to be pulled. */
  readonly imageName: string;
  /** Host directory for pods' logs; one directory below it per pod. */
  readonly logs: string;
  /** A client of this world; closed with it. */
  readonly client: CriClient;
  /** Pulls the image; what CreateContainer is to name. */
  readonly pull: () => Promise<string>;
  /**
   * What is on the machine and in the instance's directories that was not there before the first start. Ends the
   * daemon.
   */
  readonly leftovers: () => Promise<string[]>;
  /** Takes all of it away, whatever is left. */
  readonly close: () => Promise<void>;
}

export interface WorldOptions extends Omit<InstanceOptions, 'registriesConf'> {
  /** More images of the registry, by `repository:tag`. */
  readonly images?: ReadonlyMap<string, Image>;
  /** Search registries and aliases for short names, given the registry's address: the beginning of registries.conf. */
  readonly shortNames?: (registry: string) => string;
}

/** Starts registry and daemon. Needs root. */
export async function makeWorld({ images, shortNames = () => '', ...options }: WorldOptions): Promise<World> {
  const registry = await startTinyRegistry(
    new Map([['test/busybox:1', busyboxImage(staticBusybox())], ...(images ?? [])]),
  );
  const instance = await makeInstance({
    ...options,
    registriesConf: `${shortNames(registry.address)}\n[[registry]]\nlocation = "${registry.address}"\ninsecure = true\n`,
  });
  const client = criClient(instance.socket);
  const imageName = `${registry.address}/test/busybox:1`;
  const logs = join(instance.directory, 'logs');
  await mkdir(logs);
  const close = async (): Promise<void> => {
    client.close();
    await registry.stop();
    await instance.remove();
  };
  let before: Machine;
  try {
    before = await snapshotMachine(instance.words);
    await instance.start();
  } catch (error) {
    await close();
    throw error;
  }
  return {
    instance,
    socket: instance.socket,
    registry: registry.address,
    imageName,
    logs,
    client,
    close,
    pull: async () => (await client.image.pullImage({ image: { image: imageName } })).imageRef,
    leftovers: async () => {
      await instance.terminate();
      return [
        ...(await differencesWhenSettled(before, instance.words, isOthers)),
        ...(await fileLeftovers(instance)),
      ];
    },
  };
}

/**
 * Once the daemon has ended, a zombie is one that the machine's first process has not reaped yet, of this world or of
 * the one before.
 */
const isOthers = (line: string): boolean =>
  isLeftByDesign(line) || /^[-+] processes: \S+ \(zombie\)/.test(line);

/** Directories of which each entry belongs to a pod or a container. */
async function fileLeftovers(instance: Instance): Promise<string[]> {
  const places = ['containers', 'exits', 'sandboxes', 'ns', 'runtimes/runc'].map((name) =>
    join(instance.state, name),
  );
  places.push(
    join(instance.root, 'containers'),
    join(instance.root, 'cni/cache'),
    join(instance.root, 'logs'),
  );
  const found: string[] = [];
  for (const place of places) {
    for (const name of await readdir(place).catch(() => [])) found.push(`+ files: ${join(place, name)}`);
  }
  const leases = join(instance.directory, 'leases');
  for (const network of await readdir(leases).catch(() => [])) {
    for (const name of await readdir(join(leases, network)))
      if (/^\d|:/.test(name)) found.push(`+ lease: ${network}/${name}`);
  }
  return found;
}
