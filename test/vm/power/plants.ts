// Bugs that the harness must find, to show that it would find others: the disk's, or one of the daemon's.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { runOrThrow } from '../../support/run.ts';
import { checkout } from '../../support/tools/cache.ts';

interface Plant {
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

/** `disk`: a disk that ignores flushes. The others leave out one sync of the daemon's. */
export const plants = {
  disk: undefined,
  journal: {
    file: 'src/journal/disk.ts',
    find: 'sync: () => file.datasync(),',
    replace: 'sync: () => Promise.resolve(),',
  },
  layers: {
    file: 'src/oci/images/store/workers/unpack-job.ts',
    find: "must(callSync(libc.syncfs, this.#rootFd), 'sync the file system of', this.#dir);",
    replace: '',
  },
} as const satisfies Readonly<Record<string, Plant | undefined>>;

export type PlantName = keyof typeof plants;

export function plantOf(name: string): PlantName {
  const found = Object.keys(plants).find((one) => one === name);
  if (found === undefined)
    throw new Error(`there is no plant ${name}; there are: ${Object.keys(plants).join(', ')}`);
  return found as PlantName;
}

/** Puts the changed file behind the right one in the checkout's tar, which the guest unpacks in order. */
export async function plantInto(tar: string, name: PlantName, directory: string): Promise<void> {
  const plant: Plant | undefined = plants[name];
  if (plant === undefined) return;
  const text = await readFile(join(checkout, plant.file), 'utf8');
  if (!text.includes(plant.find)) throw new Error(`plant ${name}: ${plant.file} has no ${plant.find}`);
  const target = join(directory, 'troupe', plant.file);
  await mkdir(dirname(target), { recursive: true });
  await writeFile(target, text.replace(plant.find, plant.replace));
  await runOrThrow(['tar', '--append', '--file', tar, '-C', directory, `troupe/${plant.file}`]);
}
