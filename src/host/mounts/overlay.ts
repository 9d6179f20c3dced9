/**
 * Mounts overlays: in one call where all paths are plain, else option by option, also of layers whose paths are too
 * long for an option, and on kernels before 6.8.
 */
import { closeSync, readlinkSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
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
import type { SyscallResult } from '../ffi/ffi.ts';
import { callInPool, inPool } from '../ffi/pool.ts';
import { MOUNT_KEY, mountFilesystem } from './mounts.ts';
import type { MountFlags } from './mounts.ts';

export interface OverlayRequest extends MountFlags {
  readonly target: string;
  /** Highest layer first. */
  readonly lower: readonly string[];
  /**
   * The layers are on ID-mapped mounts. They are never tried in one call: their caller has a second attempt of its own
   * for kernels that refuse them.
   */
  readonly isMapped?: boolean;
  /**
   * Both or none; without them the overlay is read-only. The work directory is empty, or left by an overlay that is
   * gone: overlayfs's own content in it may be deleted.
   */
  readonly upper?: string;
  readonly work?: string;
  readonly source: string;
  /** Further options such as ['volatile', true] or ['index', 'off']. */
  readonly options?: readonly (readonly [key: string, value: string | true])[];
}

/** Mounts an overlay with as many layers as the kernel allows (500). */
export async function mountOverlay(request: OverlayRequest): Promise<void> {
  const data = plainData(request);
  if (data !== undefined) {
    const { result } = await callMount(request, data);
    if (result === 0) return;
    await removeMark(request);
  }
  await mountByOptions(request);
}

/**
 * Text to which neither mount(2)'s string of options gives a meaning (commas, and quotes for SELinux) nor overlayfs
 * (colons and backslashes).
 */
const PLAIN = /^[A-Za-z0-9/_.-]+$/u;

/** Bytes of options that mount(2) takes: a page, whose last byte is the NUL (fs/namespace.c). A rest is cut off. */
const DATA_BYTES = 4095;

/**
 * The options as a string for mount(2): one call, where one by one they are a call for each path and four more, each
 * of them a way through the pool. Undefined for what the string cannot carry; SELinux's labels, with their colons and
 * commas, are never plain.
 */
function plainData(request: OverlayRequest): string | undefined {
  const { lower, upper, work, options = [] } = request;
  // MS_RDONLY would make the whole file system read-only, which without an upper directory it is anyway
  if (request.isMapped === true || (request.readOnly === true && upper !== undefined)) return undefined;
  const directories = [
    ...lower,
    ...(upper === undefined ? [] : [upper]),
    ...(work === undefined ? [] : [work]),
  ];
  const values = options.map(([, value]) => value).filter((value) => value !== true);
  if (![...directories, ...values].every((text) => PLAIN.test(text))) return undefined;
  const data = joinOptions([['lowerdir', lower.join(':')], ...writableOptions(upper, work), ...options]);
  return data.length <= DATA_BYTES ? data : undefined;
}

type Options = NonNullable<OverlayRequest['options']>;

function writableOptions(upper: string | undefined, work: string | undefined): Options {
  if (upper === undefined || work === undefined) return [];
  return [
    ['upperdir', upper],
    ['workdir', work],
  ];
}

function joinOptions(options: Options): string {
  // a comma ends an option except within quotes, which SELinux removes again (mount(8), context=)
  const written = (value: string): string => (value.includes(',') ? `"${value}"` : value);
  return options.map(([key, value]) => (value === true ? key : `${key}=${written(value)}`)).join(',');
}

/**
 * overlayfs marks the work directory of a volatile mount before it checks the layers, and refuses one with the mark:
 * after a failed call the next one would report that mark in place of the reason.
 */
async function removeMark({ work, options = [] }: OverlayRequest): Promise<void> {
  if (work === undefined || !options.some(([key]) => key === 'volatile')) return;
  const mark = join(work, 'work/incompat');
  // a failure here is the next call's as well, which has the better message
  await inPool(MOUNT_KEY, () => rm(mark, { recursive: true, force: true })).catch(() => undefined);
}

/** Option by option: values of any text, and errors with the kernel's message. */
async function mountByOptions(request: OverlayRequest): Promise<void> {
  const held: number[] = [];
  try {
    const shortened = await allSettled(request.lower.map((layer) => shorten(layer, held)));
    const upper = request.upper === undefined ? undefined : await shorten(request.upper, held);
    const work = request.work === undefined ? undefined : await shorten(request.work, held);
    const options = [
      ...shortened.map((layer) => ['lowerdir+', layer] as const),
      ...writableOptions(upper, work),
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
    must(await callMount(request, joinOptions(options)), 'mount overlay on', request.target);
  } finally {
    for (const fd of held) closeSync(fd);
  }
}

/** mount(2): a mount in one step, too, but its errors have no message. */
function callMount(request: OverlayRequest, data: string): Promise<SyscallResult> {
  const flags =
    (request.readOnly === true ? MS_RDONLY : 0) |
    (request.nosuid === true ? MS_NOSUID : 0) |
    (request.nodev === true ? MS_NODEV : 0) |
    (request.noexec === true ? MS_NOEXEC : 0);
  return callInPool(MOUNT_KEY, libc.mount, request.source, request.target, 'overlay', flags, data);
}
