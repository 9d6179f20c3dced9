// The checkout as disks: the npm packages, and the sources with what the tests build.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { runOrThrow } from '../support/run.ts';
import { cached, cacheDirectory, checkout } from '../support/tools/cache.ts';
import { makeExt4 } from './ext4.ts';
import { type Carried, foreignModules } from './foreign.ts';
import { BUILD_TIMEOUT_MS } from './trees.ts';
import type { Architecture } from './world.ts';

/** The npm packages as a disk: they change with the lockfile only, and unpacking them takes an emulator a minute. */
export async function modulesDisk(architecture: Architecture = 'x64'): Promise<string> {
  const lock = createHash('sha256')
    .update(readFileSync(join(checkout, 'package-lock.json')))
    .digest('hex')
    .slice(0, 12);
  const key = `vm/modules-${architecture === 'x64' ? '' : `${architecture}-`}${lock}`;
  const directory = await cached(key, async (work) => {
    const own = join(work, 'packages');
    if (architecture !== 'x64') await mkdir(own);
    const tree = architecture === 'x64' ? join(checkout, 'node_modules') : await foreignModules(own);
    const used = Number(
      (await runOrThrow(['du', '--summarize', '--dereference-args', '--block-size=1M', tree])).split('\t')[0],
    );
    await makeExt4(tree, join(work, 'modules.img'), used + 256);
    await rm(own, { recursive: true, force: true });
  });
  return join(directory, 'modules.img');
}

/** Directories of the cache that most parts use, so that nothing is built in the guest. */
const CARRIED_NAMES = [
  'tools/crictl',
  'tools/runc',
  'tools/critest',
  'debian/busybox',
  'debian/busybox-static',
  'debian/docker-registry',
  'debian/nginx',
  'images',
];

/** Those, and more that few parts use. */
export const carriedWith = (more: readonly string[]): readonly Carried[] => [
  { root: cacheDirectory, names: [...new Set([...CARRIED_NAMES, ...more])] },
];

/** The checkout as it is now (`troupe/`) and built tools (`cache/`), in one tar that QEMU shows as a disk. */
export async function packCheckout(target: string, carried: readonly Carried[]): Promise<void> {
  const tar = ['nice', '-n', '15', 'tar', '--file', target];
  const options = { timeoutMs: BUILD_TIMEOUT_MS };
  const left = ['node_modules', '.cache'].map((name) => `--exclude=./${name}`);
  await runOrThrow(
    [...tar, '--create', '--exclude-vcs', ...left, '--transform', 's,^\\.,troupe,S', '-C', checkout, '.'],
    options,
  );
  for (const { root, names } of carried) {
    const present = names.filter((name) => existsSync(join(root, name)));
    if (present.length > 0)
      await runOrThrow([...tar, '--append', '--transform', 's,^,cache/,S', '-C', root, ...present], options);
  }
}
