/** Closes files on file systems that may not answer: close(2) waits until written data is flushed (NFS). */
import type { FileHandle } from 'node:fs/promises';
import { inPool } from '../ffi/pool.ts';

type Closable = Pick<FileHandle, 'close'>;

/** Files being closed; bounded by the number of open files. */
const closing = new Set<Closable>();

/**
 * Closes the file in the pool, within the limit of `key` (see `inPool`), however long that takes. Until then
 * the handle is referenced: Node would close a collected handle on the main thread, which a dead server would
 * then block. A file for which the pool has no room (`exhausted`) stays open.
 */
export async function closeInPool(key: string, file: Closable): Promise<void> {
  closing.add(file);
  await inPool(key, async () => {
    try {
      await file.close();
    } finally {
      closing.delete(file);
    }
  });
}
