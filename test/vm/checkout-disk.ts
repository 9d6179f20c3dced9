// The checkout as disks: the npm packages, and the sources with what the tests build.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { runOrThrow } from '../support/run.ts';
import { cached, cacheDirectory, checkout } from '../support/tools/cache.ts';
import { makeExt4 } from './ext4.ts';
import { BUILD_TIMEOUT_MS } from './trees.ts';

/** The npm packages as a disk: they change with the lockfile only, and unpacking them takes an emulator a minute. */
export async function modulesDisk(): Promise<string> {
  const lock = createHash('sha256')
    .update(readFileSync(join(checkout, 'package-lock.json')))
    .digest('hex')
    .slice(0, 12);
  const directory = await cached(`vm/modules-${lock}`, async (work) => {
    const tree = join(checkout, 'node_modules');
    const used = Number(
      (await runOrThrow(['du', '--summarize', '--dereference-args', '--block-size=1M', tree])).split('\t')[0],
    );
    await makeExt4(tree, join(work, 'modules.img'), used + 256);
  });
  return join(directory, 'modules.img');
}

/** Directories of the cache that tests in the guest use, so that nothing is built there. */
const CARRIED = [
  'tools/crictl',
  'tools/runc',
  'tools/critest',
  'debian/busybox',
  'debian/busybox-static',
  'debian/docker-registry',
  'debian/nginx',
  'images',
];

/**
 * The checkout as it is now (`troupe/`) and built tools (`cache/`), in one tar that QEMU shows as a disk.
 * @param wanted directories of the cache
 */
export async function packCheckout(target: string, wanted: readonly string[] = CARRIED): Promise<void> {
  const tar = ['nice', '-n', '15', 'tar', '--file', target];
  const options = { timeoutMs: BUILD_TIMEOUT_MS };
  const left = ['node_modules', '.cache'].map((name) => `--exclude=./${name}`);
  await runOrThrow(
    [...tar, '--create', '--exclude-vcs', ...left, '--transform', 's,^\\.,troupe,S', '-C', checkout, '.'],
    options,
  );
  const carried = wanted.filter((name) => existsSync(join(cacheDirectory, name)));
  if (carried.length > 0)
    await runOrThrow(
      [...tar, '--append', '--transform', 's,^,cache/,S', '-C', cacheDirectory, ...carried],
      options,
    );
}
