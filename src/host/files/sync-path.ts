import { open } from 'node:fs/promises';

/** What was written to a file, or which names a directory has, is on the disk. For paths that are ours. */
export async function syncPath(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
