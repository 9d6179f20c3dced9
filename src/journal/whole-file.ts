/** Files that are written whole, beside the one that grows. */
import type { DiskFile, DiskPort } from '../ports/disk.ts';
import type { Refusals } from './refusals.ts';

/** Where they are written, and who is told of what is refused. */
export interface Place {
  readonly disk: DiskPort;
  readonly refusals: Refusals;
}

/** A new file with these bytes, synced, open for append; on failure nothing has changed. */
export async function writtenWhole(
  { disk, refusals }: Place,
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

/** Closes a file that is not used any more: what its close says is of no use. Never rejects. */
export async function closeUnused(refusals: Refusals, file: DiskFile | undefined): Promise<void> {
  try {
    await file?.close();
  } catch (thrown) {
    refusals.note('warn', thrown, 'journal: a file could not be closed');
  }
}

/** A file that nobody reads stays: it costs space, no facts. */
export function noteLeft(refusals: Refusals, why: unknown): void {
  refusals.note('warn', why, 'journal: a file that is not needed could not be deleted');
}
