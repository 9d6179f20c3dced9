/**
 * Programs of fuse-overlayfs that a killed daemon was starting. Such a one goes on by itself and mounts when it comes to
 * it, which may be after the next daemon has looked at the mounts: on a directory that is being taken away, for example.
 *
 * Found by its stdout, which leads to its log beside the container: posix_spawn puts it there before it lets go of the
 * daemon's other descriptors, the lock of the root among them, and long before the execve. So whoever holds the lock of
 * the root finds every program of those that held it before, wherever it stands; a command line is the program's own only
 * after the execve. It serves a root once its note is written: before that no container has it, and it may be killed.
 */
import { realpath } from 'node:fs/promises';
import { join } from 'node:path';
import type { ClockPort } from '../../../../ports/clock.ts';
import { storageLimits } from '../../../bounds.ts';
import { unmount } from '../../../../host/mounts/mounts.ts';
import {
  listProcessStats,
  processExists,
  processIdentity,
  standardOutput,
} from '../../../../host/process/process-identity.ts';
import type { ProcessStat } from '../../../../host/process/process-identity.ts';
import { killTree } from '../../../../host/process/process-kill.ts';
import { isOfHost } from '../../../../host/process/process-owner.ts';
import type { StorePaths } from '../records/layer-layout.ts';
import { namesIn } from '../records/names-in.ts';
import { HELPERS, nameOfLog, readNote, targetOf } from './fuse-files.ts';
import type { Helper } from './fuse-files.ts';

export interface EndedStarts {
  readonly ended: readonly Helper[];
  /** Killed, but they do not end: uninterruptible sleep (F45). */
  readonly left: readonly Helper[];
}

/**
 * Kills what was being started for containers of this store, waits until it is gone, and takes off what it mounted.
 * Before the first start of this process's own, by the holder of the root's lock.
 */
export async function endStarts(
  paths: Pick<StorePaths, 'containers' | 'containersTrash'>,
  clock: ClockPort,
): Promise<EndedStarts> {
  const ended: Helper[] = [];
  const places = await placesOf(paths);
  if (places.length === 0) return { ended, left: [] };
  for (let scan = 0; scan < storageLimits.fuseScans; scan += 1) {
    const found = await startsIn(places);
    if (found.length === 0) break;
    await Promise.all(found.map(({ identity }) => killTree(identity, clock)));
    // what it mounted meanwhile
    for (const { target } of found) await unmount(target, { lazy: true });
    ended.push(...found);
    if (found.some(({ identity }) => processExists(identity))) break;
  }
  const isLeft = ({ identity }: Helper): boolean => processExists(identity);
  return { ended: ended.filter((one) => !isLeft(one)), left: ended.filter(isLeft) };
}

/** A directory of containers' directories. */
interface Place {
  readonly path: string;
  /** As the kernel tells it, with a slash at its end. */
  readonly prefix: string;
  /** Whoever works for a container in here is to be ended. */
  readonly isTrash: boolean;
}

/** Those in which there is anything. */
async function placesOf({
  containers,
  containersTrash,
}: Pick<StorePaths, 'containers' | 'containersTrash'>): Promise<Place[]> {
  const places: Place[] = [];
  for (const path of [containers, containersTrash]) {
    if ((await namesIn(path)).length > 0)
      places.push({ path, prefix: `${await realpath(path)}/`, isTrash: path === containersTrash });
  }
  return places;
}

async function startsIn(places: readonly Place[]): Promise<Helper[]> {
  const found: Helper[] = [];
  for (const stat of await listProcessStats()) {
    const start = await startOf(stat, places);
    // all was read between two looks at the start time: it is this process's
    if (start !== undefined && processExists(stat)) found.push(start);
  }
  return found;
}

async function startOf(stat: ProcessStat, places: readonly Place[]): Promise<Helper | undefined> {
  const output = standardOutput(stat.pid);
  const place = places.find(({ prefix }) => output?.startsWith(prefix));
  // in mounts of its own a container's process has a file of that name as well, and would have another's root unmounted
  if (output === undefined || place === undefined || !isOfHost(stat.pid)) return undefined;
  const [id = '', directory, file = '', ...more] = output.slice(place.prefix.length).split('/');
  const name = nameOfLog(file);
  if (directory !== HELPERS || name === undefined || more.length > 0) return undefined;
  const dir = join(place.path, id);
  if (!place.isTrash && (await serves(stat, dir, name))) return undefined;
  return { identity: { pid: stat.pid, startTicks: stat.startTicks }, target: targetOf(dir, name) };
}

/** Whether the note is of this process, or of the one that leads its session: a script may run the program as its child. */
async function serves(stat: ProcessStat, dir: string, name: string): Promise<boolean> {
  const noted = await readNote(dir, name);
  if (noted === undefined || stat.session !== noted.pid) return false;
  const leader = processIdentity(noted.pid);
  return leader === undefined || leader.startTicks === noted.startTicks;
}
