/**
 * What stands beside a container of the driver fuse-overlayfs, in `helpers/`: for each of its programs what it says
 * (`<name>.log`, its stdout from before its first instruction on), and, once it has mounted, who it is (`<name>.json`).
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
import type { ProcessIdentity } from '../../../../host/process/process-identity.ts';
import { readSmallFile } from '../../../../host/files/small-file.ts';
import { writeWhole } from '../../../../host/files/whole-file.ts';
import { namesIn } from '../records/names-in.ts';
import { PRIVATE_MODE } from './modes.ts';

/** Of a container: `containers/<id>`. */
type Dir = string;

/** Name of the program of a container's own root; others are named after the image. */
export const ROOT = 'rootfs';

/** The directory's name. */
export const HELPERS = 'helpers';
const LOG = '.log';
const NOTE = '.json';

/** A program that has mounted, or is about to. */
export interface Helper {
  readonly identity: ProcessIdentity;
  /** Where. */
  readonly target: string;
}

export async function makeHelpersDir(dir: Dir): Promise<void> {
  await mkdir(join(dir, HELPERS), { recursive: true, mode: PRIVATE_MODE });
}

function logOf(dir: Dir, name: string): string {
  return join(dir, HELPERS, `${name}${LOG}`);
}

/**
 * The program's log, empty, for its stdout. What is no file there goes first, so that neither a FIFO without a reader holds the
 * caller nor a link leads the program's words elsewhere (F89).
 */
export async function openLog(dir: Dir, name: string): Promise<FileHandle> {
  const path = logOf(dir, name);
  const found = await missingAs(lstat(path), undefined);
  if (found !== undefined && !found.isFile()) await rm(path, { recursive: true, force: true });
  const { O_WRONLY, O_CREAT, O_TRUNC, O_NOFOLLOW, O_NONBLOCK } = constants;
  return open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK, 0o600);
}

/** The beginning of what a program said; empty where there is none, or its log can't be read. */
export async function readLog(dir: Dir, name: string): Promise<string> {
  const found = await readOwnFile(logOf(dir, name), storageLimits.fuseSaidBytes).catch(() => undefined);
  return printable(found?.bytes.toString('utf8') ?? '');
}

/** The program's name by that of its log; undefined for other files. */
export function nameOfLog(file: string): string | undefined {
  return file.endsWith(LOG) ? file.slice(0, -LOG.length) : undefined;
}

export function targetOf(dir: Dir, name: string): string {
  return name === ROOT ? join(dir, ROOT) : join(dir, 'volumes', name);
}

export async function writeNote(dir: Dir, name: string, identity: ProcessIdentity): Promise<void> {
  await writeWhole(join(dir, HELPERS, `${name}${NOTE}`), `${JSON.stringify(identity)}\n`, 0o600);
}

/** Who mounted it; undefined when nobody has. */
export async function readNote(dir: Dir, name: string): Promise<ProcessIdentity | undefined> {
  const fields = jsonObject(
    (await readSmallFile(join(dir, HELPERS, `${name}${NOTE}`), {
      usualBytes: storageLimits.recordUsualBytes,
      bytesMax: storageLimits.noteBytes,
    })) ?? '',
  );
  const [pid, startTicks] = [fields?.['pid'], fields?.['startTicks']];
  return typeof pid === 'number' && typeof startTicks === 'number' ? { pid, startTicks } : undefined;
}

/** The programs of a container that have mounted, whether they still run or not. */
export async function helpersAt(dir: Dir): Promise<Helper[]> {
  const found: Helper[] = [];
  for (const file of await namesIn(join(dir, HELPERS))) {
    if (!file.endsWith(NOTE)) continue;
    const name = file.slice(0, -NOTE.length);
    const identity = await readNote(dir, name);
    if (identity !== undefined) found.push({ identity, target: targetOf(dir, name) });
  }
  return found;
}
