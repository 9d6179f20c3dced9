// The packages that a guest installs. They are built on the machine: a guest does not have the time.
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheDirectory, checkout } from '../support/tools/cache.ts';
import { fillPrograms } from '../e2e/kubeadm/programs.ts';
import { writeImage } from '../e2e/packages/archive.ts';
import { build, NEXT_VERSION, timeOfFirst } from '../e2e/packages/builds.ts';

/** In the cache, of the machine as of the guest. */
export const GUEST_PACKAGES = 'vm-packages';
export const guestPackages = join(cacheDirectory, GUEST_PACKAGES);
export const GUEST_ARCHIVES = 'vm-archives';
export const guestArchives = join(cacheDirectory, GUEST_ARCHIVES);

/** This checkout's package in `first`, that of a later version in `next`, and an image. Made anew for each run. */
async function makeVersions(directory: string, form: 'deb' | 'tar'): Promise<void> {
  await rm(directory, { recursive: true, force: true });
  const how = { umask: '022', env: timeOfFirst() };
  await build(checkout, ['--out', join(directory, 'first'), '--form', form], how);
  await build(checkout, ['--out', join(directory, 'next'), '--form', form, '--version', NEXT_VERSION], how);
  await writeImage(join(directory, 'image.tar'));
}

export const makeGuestPackages = async (): Promise<void> => await makeVersions(guestPackages, 'deb');
export const makeGuestArchives = async (): Promise<void> => await makeVersions(guestArchives, 'tar');

/** Likewise programs and images of a cluster. */
export const GUEST_CLUSTER = 'vm-cluster';
export const guestCluster = join(cacheDirectory, GUEST_CLUSTER);

export async function makeGuestCluster(): Promise<void> {
  await makeGuestPackages();
  await rm(guestCluster, { recursive: true, force: true });
  await mkdir(guestCluster);
  await fillPrograms(guestCluster);
}
