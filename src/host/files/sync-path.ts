import { open } from 'node:fs/promises';

/** Syncs a file's content or a directory's names to the disk. For paths of ours. */
export async function syncPath(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
