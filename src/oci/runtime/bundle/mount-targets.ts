/**
 * The targets in the image of the request's mounts (a file cannot be mounted on a directory, or the reverse), and the
 * image's volumes.
 */
import { lstat, stat } from 'node:fs/promises';
import { fstat } from 'node:fs';
import { posix } from 'node:path';
import { promisify } from 'node:util';
import { fail } from '../../../base/fault.ts';
import { codeOf, missingAs } from '../../../host/ffi/errno.ts';
import { O_CLOEXEC, O_PATH } from '../../../host/ffi/constants.ts';
import { closeFd } from '../../../host/io/descriptors.ts';
import { directorySteps, mkdirInRoot, openInRoot } from '../../../host/files/files.ts';
import type { DirectorySteps, Owner } from '../../../host/files/files.ts';
import type { OnPath } from './host/bundle-mounts.ts';
import type { ResolvedMount } from '../spec/input.ts';
import { containerPath, sourceName } from '../spec/mounts.ts';

const fstatLater = promisify(fstat);

/** Mounts of the runtime cover these directories before the request's mounts are made (spec/mounts.ts). */
const RUNTIME_MOUNTS = ['/dev', '/proc', '/sys'];
/** Files that every container has as mounts of its own (spec/mounts.ts). */
const RUNTIME_FILES = ['/etc/resolv.conf', '/etc/hostname', '/etc/hosts'];

/**
 * Throws `invalidRequest` for a source of another kind (file or directory) than its target in the image, for which
 * runtimes only give the kernel's error. The runtime makes a missing target; one inside another mount is not checked.
 */
export async function checkMountTargets(
  rootfs: string,
  mounts: readonly ResolvedMount[],
  onPath: OnPath,
): Promise<void> {
  await checkRuntimeMounts(rootfs);
  const targets = mounts.map(({ mount }) => containerPath(mount));
  const isCovered = (target: string): boolean =>
    [...RUNTIME_MOUNTS, ...targets].some((other) => target.startsWith(`${other}/`));
  await Promise.all(
    mounts.map(async ({ mount, source }, at) => {
      const target = targets[at] ?? '';
      if (RUNTIME_MOUNTS.includes(target) || isCovered(target)) return;
      const found = await isDirectoryInRoot(rootfs, target);
      if (found === undefined) return;
      const attempted = `mount ${sourceName(mount)} at ${target}`;
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
 * Throws `invalidRequest` unless /dev, /proc and /sys are directories. Runtimes make /dev/fd and the like by a plain
 * path below the root file system before they change the root: a symbolic link in place of /dev would make them on
 * the host (CVE-2026-41579; S07, S39).
 */
async function checkRuntimeMounts(rootfs: string): Promise<void> {
  await Promise.all(
    RUNTIME_MOUNTS.map(async (target) => {
      const found = await missingAs(lstat(posix.join(rootfs, target)), undefined);
      if (found !== undefined && !found.isDirectory())
        fail('invalidRequest', `mount ${target}: the image has a symbolic link or a file in its place`, {
          subject: 'image',
        });
    }),
  );
}

/**
 * Makes directories for the image's VOLUMEs, as CRI-O does by default, since programs expect them (S20). Where
 * something is mounted, the runtime makes the target, which may be a file.
 */
export async function makeVolumes(
  rootfs: string,
  volumes: readonly string[],
  mounts: readonly ResolvedMount[],
  owner: Owner | undefined,
): Promise<void> {
  const taken = new Set([...RUNTIME_FILES, ...mounts.map(({ mount }) => containerPath(mount))]);
  const steps = directorySteps();
  for (const volume of volumes) {
    if (taken.has(posix.join('/', volume, '.'))) continue;
    await makeInImage(rootfs, volume, owner, {
      attempted: `make volume ${volume} of the image`,
      subject: 'image',
      steps,
    });
  }
}

/**
 * Makes the working directory, confined to the root file system (S55); the runtime would make it only after the
 * mounts.
 */
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
  making: { readonly attempted: string; readonly subject: string; readonly steps?: DirectorySteps },
): Promise<void> {
  const { attempted, subject, steps } = making;
  await mkdirInRoot(rootfs, path, 0o755, owner, steps).catch((error: unknown) => {
    const reason = IMAGE_REASONS.get(codeOf(error) ?? '');
    if (reason === undefined) throw error;
    fail('invalidRequest', `${attempted}: ${reason}`, { subject });
  });
}

/** Errors that are the image's fault, and in which way. */
const IMAGE_REASONS: ReadonlyMap<string, string> = new Map([
  ['ENOTDIR', 'the image has a file in its place'],
  ['ELOOP', 'the image has a loop of symbolic links in its place'],
  ['ENAMETOOLONG', 'a name in it is too long'],
]);

async function isDirectoryInRoot(rootfs: string, path: string): Promise<boolean | undefined> {
  let fd: number;
  try {
    fd = await openInRoot(rootfs, posix.normalize(path), O_PATH | O_CLOEXEC);
  } catch (error) {
    // a dangling link, or a file as a parent: the runtime reports it
    if (['ENOENT', 'ENOTDIR', 'ELOOP'].includes(codeOf(error) ?? '')) return undefined;
    throw error;
  }
  try {
    return (await fstatLater(fd)).isDirectory();
  } finally {
    closeFd(fd);
  }
}
