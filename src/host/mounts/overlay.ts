/** Mounts overlays, also of layers whose paths are too long for an option, and on kernels before 6.8. */
import { closeSync, readlinkSync } from 'node:fs';
import { allSettled } from '../../base/settled.ts';
import {
  AT_FDCWD,
  MS_NODEV,
  MS_NOEXEC,
  MS_NOSUID,
  MS_RDONLY,
  O_CLOEXEC,
  O_DIRECTORY,
  O_PATH,
} from '../ffi/constants.ts';
import { codeOf, must } from '../ffi/errno.ts';
import { libc } from '../ffi/ffi.ts';
import { callInPool } from '../ffi/pool.ts';
import { MOUNT_KEY, mountFilesystem } from './mounts.ts';
import type { MountFlags } from './mounts.ts';

export interface OverlayRequest extends MountFlags {
  readonly target: string;
  /** Highest layer first. */
  readonly lower: readonly string[];
  /** Both or none; without them the overlay is read-only. */
  readonly upper?: string;
  readonly work?: string;
  readonly source: string;
  /** Further options such as ['volatile', true] or ['index', 'off']. */
  readonly options?: readonly (readonly [key: string, value: string | true])[];
}

/** Mounts an overlay with as many layers as the kernel allows (500). */
export async function mountOverlay(request: OverlayRequest): Promise<void> {
  const held: number[] = [];
  try {
    const shortened = await allSettled(request.lower.map((layer) => shorten(layer, held)));
    const upper = request.upper === undefined ? undefined : await shorten(request.upper, held);
    const work = request.work === undefined ? undefined : await shorten(request.work, held);
    const writable =
      upper === undefined || work === undefined
        ? []
        : ([
            ['upperdir', upper],
            ['workdir', work],
          ] as const);
    const options = [
      ...shortened.map((layer) => ['lowerdir+', layer] as const),
      ...writable,
      ...(request.options ?? []),
    ];
    await mountFilesystem({ ...request, type: 'overlay', options });
  } catch (error) {
    // Linux before 6.8 does not have lowerdir+; mount(2) takes one page of options
    if (!isUnknownOption(error, 'lowerdir+')) throw error;
    await mountOverlayOldWay(request);
  } finally {
    for (const fd of held) closeSync(fd);
  }
}

/** Bytes that fsconfig accepts as a value, without the NUL (fs/fsopen.c: strndup_user of 256). */
const OPTION_BYTES = 255;

/**
 * A path that fits into an option: a long one is replaced by that of a descriptor, which `held` collects for
 * the caller to close.
 */
async function shorten(path: string, held: number[]): Promise<string> {
  return Buffer.byteLength(path) <= OPTION_BYTES ? path : byDescriptor(path, held);
}

async function byDescriptor(path: string, held: number[]): Promise<string> {
  const opened = await callInPool(
    MOUNT_KEY,
    libc.openat,
    AT_FDCWD,
    path,
    O_PATH | O_DIRECTORY | O_CLOEXEC,
    0,
  );
  const fd = must(opened, 'open layer', path);
  held.push(fd);
  return descriptorPath(fd);
}

/**
 * The path of one of our descriptors, for a mount's option. Mount tables show it as long as the mount exists,
 * and some tools count lines with /proc in a container (Kubernetes' e2e tests of unmasked mounts): so it
 * begins with /dev/fd where that link exists, as udev creates it.
 */
export function descriptorPath(fd: number): string {
  hasDevFd ??= linkOf('/dev/fd') === '/proc/self/fd';
  return `${hasDevFd ? '/dev' : '/proc/self'}/fd/${fd}`;
}

let hasDevFd: boolean | undefined;

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

function isUnknownOption(error: unknown, key: string): boolean {
  return codeOf(error) === 'EINVAL' && error instanceof Error && error.message.includes(`option ${key}:`);
}

/** For Linux before 6.8, by mount(2); exported so that its test runs on any kernel. */
export async function mountOverlayOldWay(request: OverlayRequest): Promise<void> {
  const held: number[] = [];
  try {
    // short names without colons and commas: 128 layers take 2.5 KiB of the page
    const lower = await allSettled(request.lower.map((layer) => byDescriptor(layer, held)));
    const options: (readonly [string, string | true])[] = [['lowerdir', lower.join(':')]];
    if (request.upper !== undefined) options.push(['upperdir', await byDescriptor(request.upper, held)]);
    if (request.work !== undefined) options.push(['workdir', await byDescriptor(request.work, held)]);
    options.push(...(request.options ?? []));
    // a comma ends an option except within quotes, which SELinux removes again (mount(8), context=)
    const written = (value: string): string => (value.includes(',') ? `"${value}"` : value);
    const data = options.map(([key, value]) => (value === true ? key : `${key}=${written(value)}`)).join(',');
    const flags =
      (request.readOnly === true ? MS_RDONLY : 0) |
      (request.nosuid === true ? MS_NOSUID : 0) |
      (request.nodev === true ? MS_NODEV : 0) |
      (request.noexec === true ? MS_NOEXEC : 0);
    const done = await callInPool(
      MOUNT_KEY,
      libc.mount,
      request.source,
      request.target,
      'overlay',
      flags,
      data,
    );
    must(done, 'mount overlay on', request.target);
  } finally {
    for (const fd of held) closeSync(fd);
  }
}
