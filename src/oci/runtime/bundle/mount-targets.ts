/** Places in the image: those on which the request's mounts lie (a file cannot be mounted on a directory, nor the other way), and its volumes. */
import { lstat, stat } from 'node:fs/promises';
import { fstat } from 'node:fs';
import { posix } from 'node:path';
import { promisify } from 'node:util';
import { fail } from '../../../base/fault.ts';
import { codeOf, missingAs } from '../../../host/ffi/errno.ts';
import { O_CLOEXEC, O_PATH } from '../../../host/ffi/constants.ts';
import { closeFd } from '../../../host/io/descriptors.ts';
import { mkdirInRoot, openInRoot } from '../../../host/files/files.ts';
import type { Owner } from '../../../host/files/files.ts';
import type { OnPath } from './host/bundle-mounts.ts';
import type { ResolvedMount } from '../spec/input.ts';
import { containerPath, sourceName } from '../spec/mounts.ts';

const fstatLater = promisify(fstat);

/** Below these nothing is the image's by the time the runtime mounts (spec/mounts.ts). */
const OURS = ['/dev', '/proc', '/sys'];

/**
 * Throws `invalidRequest` for a source of another kind than what the image has at the place; runtimes say so in words
 * of the kernel. A place that the image does not have is made by the runtime, and one in another mount is not looked at.
 */
export async function checkPlaces(
  rootfs: string,
  mounts: readonly ResolvedMount[],
  onPath: OnPath,
): Promise<void> {
  await checkOurs(rootfs);
  const places = mounts.map(({ mount }) => containerPath(mount));
  const isCovered = (place: string): boolean =>
    [...OURS, ...places].some((other) => place.startsWith(`${other}/`));
  await Promise.all(
    mounts.map(async ({ mount, source }, at) => {
      const place = places[at] ?? '';
      if (OURS.includes(place) || isCovered(place)) return;
      const found = await isDirectoryInRoot(rootfs, place);
      if (found === undefined) return;
      const attempted = `mount ${sourceName(mount)} at ${place}`;
      const given = await onPath(source, attempted, async () => (await stat(source)).isDirectory());
      if (given === found) return;
      const [is, on] = given ? ['a directory', 'a file'] : ['no directory', 'a directory'];
      fail('invalidRequest', `${attempted}: the source is ${is}, but the image has ${on} there`, {
        subject: 'mounts.container_path',
      });
    }),
  );
}

/**
 * Runtimes make /dev/fd and its like by a plain path below the root file system, before that is the process's root: where an
 * image has a link in place of /dev, they make them on the host (CVE-2026-41579; S07, S39).
 */
async function checkOurs(rootfs: string): Promise<void> {
  for (const place of OURS) {
    const found = await missingAs(lstat(posix.join(rootfs, place)), undefined);
    if (found !== undefined && !found.isDirectory())
      fail('invalidRequest', `mount ${place}: the image has a link or a file in its place`, {
        subject: 'image',
      });
  }
}

/**
 * An image's VOLUMEs as directories in the container, as CRI-O's default has them: programs expect the place to be there (S20).
 * Where the request mounts something it is the runtime's to make the place: that may be a file.
 */
export async function makeVolumes(
  rootfs: string,
  volumes: readonly string[],
  mounts: readonly ResolvedMount[],
  owner: Owner | undefined,
): Promise<void> {
  const taken = new Set(mounts.map(({ mount }) => containerPath(mount)));
  for (const volume of volumes) {
    if (taken.has(posix.join('/', volume, '.'))) continue;
    await makeInImage(rootfs, volume, owner, {
      attempted: `make volume ${volume} of the image`,
      subject: 'image',
    });
  }
}

/** The working directory, within the root whatever links the image has (S55): the runtime would make it only after the mounts. */
export async function makeWorkingDirectory(
  rootfs: string,
  cwd: string,
  owner: Owner | undefined,
): Promise<void> {
  await makeInImage(rootfs, cwd, owner, { attempted: `use working_dir ${cwd}`, subject: 'working_dir' });
}

async function makeInImage(
  rootfs: string,
  path: string,
  owner: Owner | undefined,
  { attempted, subject }: { readonly attempted: string; readonly subject: string },
): Promise<void> {
  await mkdirInRoot(rootfs, path, 0o755, owner).catch((error: unknown) => {
    const code = codeOf(error);
    if (code !== 'ENOTDIR' && code !== 'ELOOP') throw error;
    fail(
      'invalidRequest',
      `${attempted}: the image has ${code === 'ENOTDIR' ? 'a file' : 'a link that leads to itself'} in its place`,
      { subject },
    );
  });
}

async function isDirectoryInRoot(rootfs: string, path: string): Promise<boolean | undefined> {
  let fd: number;
  try {
    fd = await openInRoot(rootfs, posix.normalize(path), O_PATH | O_CLOEXEC);
  } catch (error) {
    // a link to nowhere, or a file on the way: the runtime says what it makes of it
    if (['ENOENT', 'ENOTDIR', 'ELOOP'].includes(codeOf(error) ?? '')) return undefined;
    throw error;
  }
  try {
    return (await fstatLater(fd)).isDirectory();
  } finally {
    closeFd(fd);
  }
}
