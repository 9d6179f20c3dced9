/** Files that are written at once and complete, next to the one that grows. */
import type { DiskFile, DiskPort } from '../ports/disk.ts';
import type { Refusals } from './refusals.ts';

/** The directory that they are written to, and the log of what it refuses. */
export interface DiskContext {
  readonly disk: DiskPort;
  readonly refusals: Refusals;
}

/** Creates a file with these bytes, synced, open for append; on failure nothing has changed. */
export async function writtenWhole(
  { disk, refusals }: DiskContext,
  name: string,
  bytes: Uint8Array,
): Promise<DiskFile> {
  await disk.unlink(name);
  const file = await disk.create(name);
  try {
    await file.append(bytes);
    await file.sync();
    return file;
  } catch (thrown) {
    await closeUnused(refusals, file);
    await disk.unlink(name).catch((also: unknown) => noteLeft(refusals, also));
    throw thrown;
  }
}

/** Closes a file that is no longer used, so an error of close does not matter. Never rejects. */
export async function closeUnused(refusals: Refusals, file: DiskFile | undefined): Promise<void> {
  try {
    await file?.close();
  } catch (thrown) {
    refusals.note('warn', thrown, 'journal: could not close a file');
  }
}

/** Logs that an unused file could not be deleted: it costs space, no records. */
export function noteLeft(refusals: Refusals, why: unknown): void {
  refusals.note('warn', why, 'journal: could not delete an unused file');
}
