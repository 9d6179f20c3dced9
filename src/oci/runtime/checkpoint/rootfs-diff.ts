/**
 * A container's changes to its root file system, from the upper directory of its overlay: changed and deleted files.
 * Read while the container is frozen, so that they match the memory in the checkpoint.
 */
import { closeSync } from 'node:fs';
import type { Dirent } from 'node:fs';
import { lstat } from 'node:fs/promises';
import { fail } from '../../../base/fault.ts';
import { hostLimits } from '../../../host/bounds.ts';
import { checkpointLimits } from '../bounds.ts';
import { entriesOf } from '../../../host/files/entries-of.ts';
import { errnoName, isAbsent, must } from '../../../host/ffi/errno.ts';
import { AT_FDCWD, O_CLOEXEC, O_DIRECTORY, O_PATH, O_RDONLY } from '../../../host/ffi/constants.ts';
import { libc } from '../../../host/ffi/ffi.ts';
import { howBeneath, isEscape } from '../../../host/files/files-at.ts';
import { callInPool } from '../../../host/ffi/pool.ts';

/** Paths relative to the root. Names are bytes: a container may choose names that are not UTF-8. */
export interface RootfsChanges {
  /** Each directory comes before its content. */
  readonly changed: readonly Buffer[];
  readonly deleted: readonly Buffer[];
}

/** Replaced in tests: an endless directory, small bounds. */
export interface DiffOptions {
  readonly entries?: (directory: string | Buffer) => AsyncIterable<Dirent<Buffer>>;
  readonly bounds?: { readonly changedFiles: number; readonly changedBytes: number };
}

interface Search extends Required<DiffOptions> {
  readonly upper: string;
  readonly lowers: readonly string[];
  /** Descriptors of the used `lowers` by path: each is opened once. */
  readonly layers: Map<string, number>;
  /** Relative paths of mounts, whose empty mount points in the upper directory are made by the runtime. */
  readonly mounts: ReadonlySet<string>;
  readonly changed: Buffer[];
  readonly deleted: Buffer[];
  /** Bytes of all these paths, since a container may choose long ones. */
  bytes: number;
}

const SLASH = Buffer.from('/');
/**
 * overlayfs marks a directory that hides those of lower layers with this (Documentation/filesystems/overlayfs.rst).
 */
const OPAQUE = 'trusted.overlay.opaque';
const OPAQUE_VALUE = 'y'.charCodeAt(0);
/** Key in the thread pool: the opens of all checkpoints wait for the images' disk. */
const POOL_KEY = 'layers of checkpoints';
const ALL: Required<DiffOptions> = {
  entries: (directory) => entriesOf(directory, { key: POOL_KEY, atOnce: checkpointLimits.entriesAtOnce }),
  bounds: checkpointLimits,
};

/**
 * The changes in `upper` over `lowers`, whose first is the topmost. `mounts` are paths in the container that are left
 * out. Rejects with `exhausted` above the bounds.
 */
export async function rootfsChanges(
  upper: string,
  lowers: readonly string[],
  mounts: readonly string[],
  options: DiffOptions = {},
): Promise<RootfsChanges> {
  const leftOut = new Set(mounts.map((path) => path.replace(/^\/+/u, '').replace(/\/+$/u, '')));
  const search: Search = {
    ...ALL,
    ...options,
    upper,
    lowers,
    layers: new Map(),
    mounts: leftOut,
    changed: [],
    deleted: [],
    bytes: 0,
  };
  // a list instead of recursion: a container may nest directories to any depth
  const open: Buffer[] = [Buffer.alloc(0)];
  try {
    for (let directory = open.pop(); directory !== undefined; directory = open.pop())
      open.push(...(await scan(search, directory)));
  } finally {
    for (const fd of search.layers.values()) closeSync(fd);
  }
  return { changed: search.changed, deleted: search.deleted };
}

/**
 * Records the entries of one directory of the upper and returns its subdirectories. Stops at the bounds, even within
 * a directory.
 */
async function scan(search: Search, directory: Buffer): Promise<Buffer[]> {
  const { upper, mounts, changed, deleted } = search;
  const inside: Buffer[] = [];
  // names to compare with the layers if the directory is opaque
  const kept = (await isOpaque(upper, directory)) ? new Set<string>() : undefined;
  for await (const entry of search.entries(at(upper, directory))) {
    const path = join(directory, entry.name);
    search.bytes += path.length;
    refuseMany(search);
    kept?.add(entry.name.toString('latin1'));
    if (mounts.has(path.toString('utf8'))) continue;
    if (await isWhiteout(upper, path, entry)) deleted.push(path);
    else changed.push(path);
    if (entry.isDirectory()) inside.push(path);
  }
  refuseMany(search);
  if (kept !== undefined) await noteHidden(search, directory, kept);
  return inside;
}

async function isWhiteout(upper: string, path: Buffer, entry: Dirent<Buffer>): Promise<boolean> {
  return entry.isCharacterDevice() && (await lstat(at(upper, path))).rdev === 0;
}

/**
 * Reads the attribute in the pool, as all calls here. As in the kernel (ovl_path_check_dir_xattr), only the one-byte
 * value counts.
 */
async function isOpaque(upper: string, directory: Buffer): Promise<boolean> {
  if (directory.length === 0) return false;
  const value = Buffer.alloc(1);
  const name = Buffer.concat([at(upper, directory), Buffer.alloc(1)]);
  const got = await callInPool(POOL_KEY, libc.lgetxattr, name, OPAQUE, value, value.length);
  if (got.result === -1 && ['ENODATA', 'EOPNOTSUPP', 'ERANGE'].includes(errnoName(got.errno))) return false;
  return must(got, `get ${OPAQUE} of`, directory.toString()) === 1 && value[0] === OPAQUE_VALUE;
}

/** Records what the layers have in an opaque directory as deleted. */
async function noteHidden(search: Search, directory: Buffer, kept: ReadonlySet<string>): Promise<void> {
  const hidden = new Set<string>();
  for (const lower of search.lowers) {
    try {
      await noteBelow(search, await layerOf(search, lower), directory, (name) => {
        if (kept.has(name) || hidden.has(name)) return;
        hidden.add(name);
        search.bytes += directory.length + name.length;
        refuseMany(search, hidden.size);
      });
    } catch (error) {
      // this layer has no such directory, or a file or a symbolic link of that name
      if (!isAbsent(error) && !isEscape(error)) throw error;
    }
  }
  for (const name of hidden) search.deleted.push(join(directory, Buffer.from(name, 'latin1')));
}

/**
 * Lists a layer's directory without following symbolic links: an image may have a link to a directory of the host
 * where the container has made a directory (S54).
 */
async function noteBelow(
  { entries }: Search,
  layer: number,
  directory: Buffer,
  note: (name: string) => void,
): Promise<void> {
  const fd = await openBelow(layer, directory);
  try {
    for await (const { name } of entries(`/proc/self/fd/${fd}`)) note(name.toString('latin1'));
  } finally {
    closeSync(fd);
  }
}

async function layerOf({ layers }: Search, lower: string): Promise<number> {
  const known = layers.get(lower);
  if (known !== undefined) return known;
  const opened = await callInPool(
    POOL_KEY,
    libc.openat,
    AT_FDCWD,
    lower,
    O_PATH | O_DIRECTORY | O_CLOEXEC,
    0,
  );
  const fd = must(opened, 'open directory', lower);
  layers.set(lower, fd);
  return fd;
}

/** In the pool: the images' disk may not answer, and the main thread serves every pod. */
async function openBelow(layer: number, directory: Buffer): Promise<number> {
  const how = howBeneath(O_RDONLY | O_DIRECTORY, 0, 'noLinks');
  const name = Buffer.concat([directory, Buffer.alloc(1)]);
  for (let attempt = 1; ; attempt += 1) {
    const opened = await callInPool(POOL_KEY, libc.openat2, layer, name, how, how.length);
    // something was renamed or mounted meanwhile, anywhere on the machine (openat2(2))
    const mayRetry =
      opened.result === -1 && errnoName(opened.errno) === 'EAGAIN' && attempt < hostLimits.openAttempts;
    if (!mayRetry) return must(opened, 'open directory', directory.toString());
  }
}

function refuseMany({ changed, deleted, upper, bytes, bounds }: Search, more = 0): void {
  const { changedFiles, changedBytes } = bounds;
  if (changed.length + deleted.length + more <= changedFiles && bytes <= changedBytes) return;
  fail(
    'exhausted',
    `list changes in ${upper}: more than ${changedFiles} files, or ${changedBytes} bytes of paths`,
    { subject: upper },
  );
}

function join(directory: Buffer, name: Buffer): Buffer {
  return directory.length === 0 ? name : Buffer.concat([directory, SLASH, name]);
}

function at(root: string, path: Buffer): Buffer {
  return Buffer.concat([Buffer.from(root), SLASH, path]);
}
