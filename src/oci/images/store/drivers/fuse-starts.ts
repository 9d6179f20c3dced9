/**
 * Finds and ends fuse-overlayfs processes that a killed daemon was starting. Such a process continues and mounts at
 * some time, possibly after the next daemon has read the mounts, and on a directory that is being deleted.
 *
 * It is recognised by its stdout, which is its log beside the container. posix_spawn sets stdout before it closes the
 * daemon's other descriptors, including the lock of the root, and long before the execve. So whoever holds the lock of
 * the root finds every process of earlier holders at any stage; its command line would be recognisable only after the
 * execve. A process without a note serves no container yet and may be killed.
 */
import { realpath } from 'node:fs/promises';
import { join } from 'node:path';
import type { ClockPort } from '../../../../ports/clock.ts';
import { storageLimits } from '../../../bounds.ts';
import { unmount } from '../../../../host/mounts/mounts.ts';
import {
  identityAtOnce,
  processExists,
  processIdentity,
  standardOutput,
} from '../../../../host/process/process-identity.ts';
import type { HostIdentity } from '../../../../host/process/process-identity.ts';
import { killTree } from '../../../../host/process/process-kill.ts';
import { isOfHost } from '../../../../host/process/process-owner.ts';
import { listStatuses, processStatus } from '../../../../host/process/process-status.ts';
import type { StorePaths } from '../records/layer-layout.ts';
import { namesIn } from '../records/names-in.ts';
import { HELPERS, nameOfLog, readMountNote, mountTarget } from './fuse-files.ts';
import type { Helper } from './fuse-files.ts';

export interface EndedStarts {
  readonly ended: readonly Helper[];
  /** Killed processes that do not exit, because of uninterruptible sleep (F45). */
  readonly left: readonly Helper[];
}

/**
 * Kills processes that were being started for containers of this store, waits until they exit, and unmounts their
 * mounts. To be called by the holder of the root's lock, before this daemon starts a process of its own.
 */
export async function endStarts(
  paths: Pick<StorePaths, 'containers' | 'containersTrash'>,
  clock: ClockPort,
): Promise<EndedStarts> {
  const ended: Helper[] = [];
  const directories = await directoriesOf(paths);
  if (directories.length === 0) return { ended, left: [] };
  for (let scan = 0; scan < storageLimits.fuseScans; scan += 1) {
    const found = await startsIn(directories);
    if (found.length === 0) break;
    await Promise.all(found.map(({ identity }) => killTree(identity, clock)));
    // they may have mounted before they were killed
    for (const { target } of found) await unmount(target, { lazy: true });
    ended.push(...found);
    if (found.some(({ identity }) => processExists(identity))) break;
  }
  const isLeft = ({ identity }: Helper): boolean => processExists(identity);
  return { ended: ended.filter((one) => !isLeft(one)), left: ended.filter(isLeft) };
}

/** A directory that contains directories of containers. */
interface ContainersDirectory {
  readonly path: string;
  /** Its path without symlinks, as in /proc, with a trailing slash. */
  readonly prefix: string;
  /** Whether this is the trash: processes for containers in it are always ended. */
  readonly isTrash: boolean;
}

/** The directories that are not empty. */
async function directoriesOf({
  containers,
  containersTrash,
}: Pick<StorePaths, 'containers' | 'containersTrash'>): Promise<ContainersDirectory[]> {
  const directories: ContainersDirectory[] = [];
  for (const path of [containers, containersTrash]) {
    if ((await namesIn(path)).length > 0)
      directories.push({ path, prefix: `${await realpath(path)}/`, isTrash: path === containersTrash });
  }
  return directories;
}

async function startsIn(directories: readonly ContainersDirectory[]): Promise<Helper[]> {
  const found: Helper[] = [];
  for (const status of await listStatuses()) {
    // of most processes nothing else is read
    if (!status.isInOwnPids || placeOf(status.pid, directories) === undefined) continue;
    const identity = identityAtOnce(status.pid);
    const start = identity === undefined ? undefined : await startOf(identity, directories);
    // the start time is unchanged, so everything that was read since belongs to this process and not to a later one
    // with its pid
    if (start !== undefined && processExists(start.identity)) found.push(start);
  }
  return found;
}

/** The containers' directory in which its stdout is. Any process can have a file there: this proves nothing. */
function placeOf(
  pid: number,
  directories: readonly ContainersDirectory[],
): { readonly output: string; readonly parent: ContainersDirectory } | undefined {
  const output = standardOutput(pid);
  const parent = directories.find(({ prefix }) => output?.startsWith(prefix));
  return output === undefined || parent === undefined ? undefined : { output, parent };
}

async function startOf(
  identity: HostIdentity,
  directories: readonly ContainersDirectory[],
): Promise<Helper | undefined> {
  const place = placeOf(identity.pid, directories);
  // in its own mount namespace, a container's process can have a file of this name; it must not cause an unmount
  if (place === undefined || !isOfHost(identity.pid)) return undefined;
  const { output, parent } = place;
  const [id = '', directory, file = '', ...more] = output.slice(parent.prefix.length).split('/');
  const name = nameOfLog(file);
  if (directory !== HELPERS || name === undefined || more.length > 0) return undefined;
  const dir = join(parent.path, id);
  if (!parent.isTrash && (await serves(identity.pid, dir, name))) return undefined;
  return { identity, target: mountTarget(dir, name) };
}

/** Whether the note names this process or its session leader: a wrapper script may run the program as its child. */
async function serves(pid: number, dir: string, name: string): Promise<boolean> {
  const noted = await readMountNote(dir, name);
  if (noted === undefined || processStatus(pid)?.session !== noted.pid) return false;
  const leader = processIdentity(noted.pid);
  return leader === undefined || leader.startTicks === noted.startTicks;
}
