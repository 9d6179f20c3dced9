/**
 * What stands beside a container of the driver fuse-overlayfs, in `helpers/`: for each of its programs what it says
 * (`<name>.log`, its stdout from before its first instruction on), and, once it has mounted, who it is (`<name>.json`).
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { jsonObject } from '../../../base/json-object.ts';
import { storageLimits } from '../../../base/limits.ts';
import type { ProcessIdentity } from '../../../host/process-identity.ts';
import { readSmallFile } from '../../../host/small-file.ts';
import { writeWhole } from '../../../host/whole-file.ts';
import { namesIn } from '../names-in.ts';
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

export function logOf(dir: Dir, name: string): string {
  return join(dir, HELPERS, `${name}${LOG}`);
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
  const fields = jsonObject((await readSmallFile(join(dir, HELPERS, `${name}${NOTE}`), { usualBytes: storageLimits.recordUsualBytes, bytesMax: storageLimits.noteBytes })) ?? '');
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
