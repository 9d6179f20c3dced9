/** Files that are written whole, beside the one that grows. */
import type { DiskFile, DiskPort } from '../actors/ports/disk.ts';
import { toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';

/** Where they are written, and who is told of what costs no facts. */
export interface Place {
  readonly disk: DiskPort;
  readonly log: Log;
}

/** A new file with these bytes, synced, open for append; on failure nothing has changed. */
export async function writtenWhole({ disk, log }: Place, name: string, bytes: Uint8Array): Promise<DiskFile> {
  await disk.unlink(name);
  const file = await disk.create(name);
  try {
    await file.append(bytes);
    await file.sync();
    return file;
  } catch (thrown) {
    await closeUnused(log, file);
    await disk.unlink(name).catch((also: unknown) => noteLeft(log, name, also));
    throw thrown;
  }
}

/** Closes a file that is not used any more: what its close says is of no use. Never rejects. */
export async function closeUnused(log: Log, file: DiskFile | undefined): Promise<void> {
  try {
    await file?.close();
  } catch (thrown) {
    log.warn({ reason: toFault(thrown).message }, 'journal: a file could not be closed');
  }
}

/** A file that nobody reads stays: it costs space, no facts. */
export function noteLeft(log: Log, name: string, why: unknown): void {
  log.warn({ name, reason: toFault(why).message }, 'journal: a file that is not needed could not be deleted');
}
