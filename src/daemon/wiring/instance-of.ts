/** What identifies a daemon's instance: root and state, whatever path leads to them, and the CRI socket's path. */
import { stat } from 'node:fs/promises';
import { storedVersions } from '../../base/stored-versions.ts';
import { missingAs } from '../../host/ffi/errno.ts';
import type { Config } from '../config/config-schema.ts';
import type { FileId, Hello } from '../takeover/messages.ts';
import { VERSION } from './version.ts';

export type Instance = Omit<Hello, 'type' | 'protocol' | 'isRescue'>;

export async function instanceOf({ root, state, socket }: Config): Promise<Instance> {
  const [rootId, stateId] = [await fileId(root), await fileId(state)];
  return { version: VERSION, journal: storedVersions.journal, root: rootId, state: stateId, socket };
}

/** One that is not there is no daemon's: nothing is made before the other daemon has agreed. */
async function fileId(path: string): Promise<FileId> {
  const found = await missingAs(stat(path, { bigint: true }), undefined);
  return { dev: String(found?.dev ?? 0), ino: String(found?.ino ?? 0) };
}

export function isSameFile(one: FileId, other: FileId): boolean {
  return one.dev === other.dev && one.ino === other.ino;
}
