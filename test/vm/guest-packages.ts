// The packages that a guest installs. They are built on the machine: a guest has neither the time nor nfpm.
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheDirectory, checkout } from '../support/tools/cache.ts';
import { writeImage } from '../e2e/packages/archive.ts';
import { build, NEXT_VERSION, timeOfFirst } from '../e2e/packages/builds.ts';

/** In the cache, of the machine as of the guest. */
export const GUEST_PACKAGES = 'vm-packages';
export const guestPackages = join(cacheDirectory, GUEST_PACKAGES);

/** This checkout's .deb in `first`, that of a later version in `next`, and an image. Made anew for each run. */
export async function makeGuestPackages(): Promise<void> {
  await rm(guestPackages, { recursive: true, force: true });
  const how = { umask: '022', env: timeOfFirst() };
  await build(checkout, ['--out', join(guestPackages, 'first'), '--form', 'deb'], how);
  await build(
    checkout,
    ['--out', join(guestPackages, 'next'), '--form', 'deb', '--version', NEXT_VERSION],
    how,
  );
  await writeImage(join(guestPackages, 'image.tar'));
}
