/** Sources of the requested mounts: resolved, made if missing, and checked for propagation. */
import { realpath } from 'node:fs/promises';
import { posix } from 'node:path';
import type { ImageVolume, Mount } from '../../../../ports/specs.ts';
import { fail } from '../../../../base/fault.ts';
import type { ImageId } from '../../../../base/ids.ts';
import { specLimits } from '../../bounds.ts';
import { codeOf } from '../../../../host/ffi/errno.ts';
import { resolveInRoot } from '../../../../host/files/files.ts';
import { makeDirectories } from '../../../../host/files/make-directories.ts';
import { mountOver, readMountInfo } from '../../../../host/mounts/mountinfo.ts';
import type { ResolvedMount } from '../../spec/input.ts';
import { containerPath, sourceName } from '../../spec/mounts.ts';

/**
 * Sources that are not made if missing, since they are files wherever they exist: a directory in their place would
 * break the host (CRI-O's absent_mount_sources_to_reject begins with the same path).
 */
const NEVER_MADE: ReadonlySet<string> = new Set([
  '/etc/hostname',
  '/etc/hosts',
  '/etc/resolv.conf',
  '/etc/passwd',
  '/etc/group',
  '/etc/shadow',
]);

/** Runs a call on a host path; the call is bounded per mount point. */
export type OnPath = <T>(path: string, attempted: string, work: () => Promise<T>) => Promise<T>;

/** Checks mounts without touching the disk. Throws `invalidRequest` with the field's name. */
export function checkMounts(mounts: readonly Mount[]): void {
  if (mounts.length > specLimits.mounts) {
    fail('invalidRequest', `use ${mounts.length} mounts: at most ${specLimits.mounts} are allowed`, {
      subject: 'mounts',
    });
  }
  for (const mount of mounts) {
    containerPath(mount);
    const { hostPath, image } = mount;
    if (image !== undefined) continue;
    const isUsable =
      posix.isAbsolute(hostPath) &&
      !hostPath.includes('\0') &&
      Buffer.byteLength(hostPath) < specLimits.pathBytes;
    if (!isUsable) {
      fail(
        'invalidRequest',
        `mount ${JSON.stringify(hostPath)} at ${mount.containerPath}: the source is not an absolute path`,
        {
          subject: 'mounts.host_path',
        },
      );
    }
  }
}

export interface MountContext {
  readonly onPath: OnPath;
  /** Where an image volume is mounted for this container. */
  readonly imageVolume: (image: ImageId) => string;
  /** Directory of the root file systems of all containers. */
  readonly rootfses: string;
  /** Labels a volume for the container's processes; undefined if no label is needed. */
  readonly relabel: ((path: string) => Promise<void>) | undefined;
}

/**
 * Sources with symbolic links resolved. A missing one is made as a directory of mode 0755, as containerd and CRI-O do
 * (B3).
 */
export async function resolveMounts(
  mounts: readonly Mount[],
  context: MountContext,
): Promise<readonly ResolvedMount[]> {
  const { onPath } = context;
  const resolved: ResolvedMount[] = [];
  for (const mount of mounts) {
    const attempted = `mount ${sourceName(mount)} at ${mount.containerPath}`;
    if (mount.image !== undefined) {
      resolved.push({ mount, source: await inImage(mount.image, context, attempted) });
      continue;
    }
    const source = await onPath(mount.hostPath, attempted, () => sourceOf(mount.hostPath, attempted));
    await checkPropagation(mount, source, attempted);
    const { relabel } = context;
    if (mount.selinuxRelabel && relabel !== undefined) await relabel(source);
    resolved.push({ mount, source, holdsOurs: isAbove(source, context.rootfses) });
  }
  return resolved;
}

function isAbove(path: string, below: string): boolean {
  return path === '/' || path === below || below.startsWith(`${path}/`);
}

/** Path of the whole image, or of the sub-path in it: symbolic links are resolved within the image (S45). */
async function inImage(
  { id, subPath }: ImageVolume,
  { imageVolume }: MountContext,
  attempted: string,
): Promise<string> {
  const root = imageVolume(id);
  if (subPath === '') return root;
  return (
    (await resolveInRoot(root, subPath)) ??
    fail('invalidRequest', `${attempted}: image_sub_path ${subPath} is not in the image`, {
      subject: 'mounts.image',
    })
  );
}

async function sourceOf(hostPath: string, attempted: string): Promise<string> {
  try {
    return await realpath(hostPath);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') return refuse(attempted, error);
  }
  if (NEVER_MADE.has(posix.normalize(hostPath))) {
    fail(
      'invalidRequest',
      `${attempted}: source not found, and a directory in its place would break the host`,
      {
        subject: 'mounts.host_path',
      },
    );
  }
  try {
    await makeDirectories(hostPath, 0o755);
    return await realpath(hostPath);
  } catch (error) {
    return refuse(attempted, error);
  }
}

/** A wrong path is the client's error; other errors (EIO, ESTALE, ENOSPC) are rethrown. */
function refuse(attempted: string, error: unknown): never {
  const code = codeOf(error);
  if (code !== undefined && ['ENOTDIR', 'ELOOP', 'ENAMETOOLONG', 'EEXIST', 'ENOENT'].includes(code)) {
    fail('invalidRequest', `${attempted}: the source cannot be used: ${code}`, {
      subject: 'mounts.host_path',
    });
  }
  throw error;
}

/**
 * Throws `invalidRequest` if the source's mount cannot provide the requested propagation, which would silently have
 * no effect (mount_namespaces(7)).
 */
async function checkPropagation(mount: Mount, source: string, attempted: string): Promise<void> {
  if (mount.propagation === 'private') return;
  const over = mountOver(source, await readMountInfo());
  const isShared = over?.sharedGroup !== undefined;
  const isSlave = over?.masterGroup !== undefined;
  if (mount.propagation === 'bidirectional' && !isShared) {
    fail(
      'invalidRequest',
      `${attempted} with bidirectional propagation: ${over?.mountPoint ?? source} is not a shared mount`,
      {
        subject: 'mounts.propagation',
      },
    );
  }
  if (mount.propagation === 'hostToContainer' && !isShared && !isSlave) {
    fail(
      'invalidRequest',
      `${attempted} with propagation from the host: ${over?.mountPoint ?? source} is neither shared nor slave`,
      {
        subject: 'mounts.propagation',
      },
    );
  }
}
