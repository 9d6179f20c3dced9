/** Closing files on file systems that may not answer: close(2) waits for what it flushes (NFS). */
import type { FileHandle } from 'node:fs/promises';
import { inPool } from '../ffi/pool.ts';

type Closable = Pick<FileHandle, 'close'>;

/** Files that are being closed, at most as many as are open. */
const closing = new Set<Closable>();

/**
 * Closes the file in the share of `key` (see `inPool`), however long that waits. Until it is closed the handle is kept:
 * Node closes one that is collected on the main thread, which a dead server then holds. A file that the gate refuses
 * (`exhausted`) stays open.
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
