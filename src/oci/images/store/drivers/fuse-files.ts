/**
 * The files in `helpers/` of a container with the driver fuse-overlayfs. Each process has a log (`<name>.log`), which
 * is its stdout from its start on, and, once it has mounted, a note with its identity (`<name>.json`).
 */
import { constants } from 'node:fs';
import { lstat, mkdir, open, rm } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { printable } from '../../../../base/fault.ts';
import { jsonObject } from '../../../../base/json-object.ts';
import { storageLimits } from '../../../bounds.ts';
import { missingAs } from '../../../../host/ffi/errno.ts';
import { readOwnFile } from '../../../../host/files/state-files.ts';
import type { HostIdentity } from '../../../../host/process/process-identity.ts';
import { readSmallFile } from '../../../../host/files/small-file.ts';
import { writeWhole } from '../../../../host/files/whole-file.ts';
import { namesIn } from '../records/names-in.ts';
import { PRIVATE_MODE } from './modes.ts';
import { storedVersions } from '../../../../base/stored-versions.ts';

/** The directory of a container: `containers/<id>`. */
type Dir = string;

/** Name of the process for a container's root. Processes for image volumes are named after the image. */
export const ROOT = 'rootfs';

/** Name of the directory. */
export const HELPERS = 'helpers';
const LOG = '.log';
const NOTE = '.json';

/** A process that has mounted or is about to. */
export interface Helper {
  readonly identity: HostIdentity;
  /** Mount point. */
  readonly target: string;
}

export async function makeHelpersDir(dir: Dir): Promise<void> {
  await mkdir(join(dir, HELPERS), { recursive: true, mode: PRIVATE_MODE });
}

function logOf(dir: Dir, name: string): string {
  return join(dir, HELPERS, `${name}${LOG}`);
}

/**
 * Opens the empty log of a process, for its stdout. Anything but a regular file is deleted first: a FIFO without a
 * reader would block the caller, and a symlink would redirect the output (F89).
 */
export async function openLog(dir: Dir, name: string): Promise<FileHandle> {
  const path = logOf(dir, name);
  const found = await missingAs(lstat(path), undefined);
  if (found !== undefined && !found.isFile()) await rm(path, { recursive: true, force: true });
  const { O_WRONLY, O_CREAT, O_TRUNC, O_NOFOLLOW, O_NONBLOCK } = constants;
  return open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK, 0o600);
}

/** The beginning of a process's output; empty if its log cannot be read. */
export async function readLog(dir: Dir, name: string): Promise<string> {
  const found = await readOwnFile(logOf(dir, name), storageLimits.fuseSaidBytes).catch(() => undefined);
  return printable(found?.bytes.toString('utf8') ?? '');
}

/** The name of the process that a log belongs to; undefined for other files. */
export function nameOfLog(file: string): string | undefined {
  return file.endsWith(LOG) ? file.slice(0, -LOG.length) : undefined;
}

export function mountTarget(dir: Dir, name: string): string {
  return name === ROOT ? join(dir, ROOT) : join(dir, 'volumes', name);
}

export async function writeMountNote(dir: Dir, name: string, identity: HostIdentity): Promise<void> {
  await writeWhole(
    join(dir, HELPERS, `${name}${NOTE}`),
    `${JSON.stringify({ version: storedVersions.mountNote, ...identity })}\n`,
    0o600,
  );
}

/** The identity of the process that has mounted; undefined without a note. */
export async function readMountNote(dir: Dir, name: string): Promise<HostIdentity | undefined> {
  const fields = jsonObject(
    (await readSmallFile(join(dir, HELPERS, `${name}${NOTE}`), {
      usualBytes: storageLimits.recordUsualBytes,
      bytesMax: storageLimits.noteBytes,
    })) ?? '',
  );
  const { version = 1, pid, startTicks } = fields ?? {};
  if (version !== storedVersions.mountNote) return undefined;
  return typeof pid === 'number' && typeof startTicks === 'number' ? { pid, startTicks } : undefined;
}

/** The processes of a container that have mounted, whether they still run or not. */
export async function helpersAt(dir: Dir): Promise<Helper[]> {
  const found: Helper[] = [];
  for (const file of await namesIn(join(dir, HELPERS))) {
    if (!file.endsWith(NOTE)) continue;
    const name = file.slice(0, -NOTE.length);
    const identity = await readMountNote(dir, name);
    if (identity !== undefined) found.push({ identity, target: mountTarget(dir, name) });
  }
  return found;
}
