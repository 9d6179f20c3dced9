/**
 * Reads the runtime's state directory without calling the runtime: which process is init, and whether it was started
 * (F36).
 */
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { driverLimits, monitorLimits } from '../bounds.ts';
import { isAbsent } from '../../../host/ffi/errno.ts';
import { readMountInfo } from '../../../host/mounts/mountinfo.ts';
import { unmount } from '../../../host/mounts/mounts.ts';
import { namesIfDirectory } from '../../../host/files/names-of.ts';
import { statOwn } from '../../../host/files/state-files.ts';
import { readSmallFile } from '../../../host/files/small-file.ts';
import { dropNotedState, readNotedState } from './foreign-state.ts';
import { EXEC_FIFO, STATE_FILES, parseState } from './runc.ts';
import type { RuntimeState } from './runc.ts';

/**
 * Init according to the runtime's state file, or to our record of what its `state` command reported. Undefined if
 * there is no state or it cannot be trusted.
 */
export async function readRuntimeState(root: string, id: string): Promise<RuntimeState | undefined> {
  for (const name of STATE_FILES) {
    const text = await readSmallFile(join(root, id, name), {
      usualBytes: driverLimits.stateFileUsualBytes,
      bytesMax: driverLimits.stateFileBytes,
    });
    const state = text === undefined ? undefined : parseState(name, text, id);
    if (state !== undefined) return state;
  }
  return readNotedState(root, id);
}

/** Whether the runtime has a state directory for the id, or a record of ours stands in for it. */
export async function hasRuntimeState(root: string, id: string): Promise<boolean> {
  return (await exists(join(root, id))) || (await readNotedState(root, id)) !== undefined;
}

/** Whether init waits for start. */
export async function awaitsStart(root: string, id: string): Promise<boolean> {
  return (await hasFifo(root, id)) || (await readNotedState(root, id))?.started === false;
}

/** Whether the state directory has the FIFO of a container that was not started, or whose start was cut short. */
export function hasFifo(root: string, id: string): Promise<boolean> {
  return exists(join(root, id, EXEC_FIFO));
}

/**
 * Deletes a state directory that the runtime itself refuses to delete. The caller knows that no process is left. runc
 * before 1.2 bind-mounts its own binary there for a moment, and the mount remains if runc is killed then.
 */
export async function dropRuntimeState(root: string, id: string): Promise<void> {
  const directory = join(root, id);
  await dropNotedState(root, id);
  if (!(await exists(directory))) return;
  const below = (await readMountInfo()).filter((mount) => mount.mountPoint.startsWith(`${directory}/`));
  for (const mount of below.toReversed()) await unmount(mount.mountPoint);
  await rm(directory, { recursive: true, force: true });
}

/** Names in a directory of ours, at most `monitorLimits.dirEntries`; empty if it does not exist. */
export async function namesIn(path: string): Promise<readonly string[]> {
  return (await namesIfDirectory(path)).slice(0, monitorLimits.dirEntries);
}

/** Whether something exists at the path. */
export async function exists(path: string): Promise<boolean> {
  return (await statOwn(path)) !== undefined;
}

/** The last bytes of a file as text; empty if it does not exist. */
export async function readTail(path: string, bytesMax: number): Promise<string> {
  try {
    const file = await open(path, 'r');
    try {
      const { size } = await file.stat();
      const bytes = Buffer.alloc(Math.min(size, bytesMax));
      const { bytesRead } = await file.read(bytes, 0, bytes.length, size - bytes.length);
      return bytes.toString('utf8', 0, bytesRead);
    } finally {
      await file.close();
    }
  } catch (error) {
    if (isAbsent(error)) return '';
    throw error;
  }
}
