/** Files in whose place others may have put something else. */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { fail } from '../../base/fault.ts';

/**
 * The content of a regular file of at most `bytesMax` bytes. A FIFO in its place does not block (fifo(7),
 * O_NONBLOCK). Throws `outside` for anything but such a file, and Node's errors.
 */
export async function readRegularFile(path: string, bytesMax: number): Promise<Buffer> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  try {
    const found = await file.stat();
    if (!found.isFile() || found.size > bytesMax) {
      fail('outside', `read ${path}: not a regular file of at most ${bytesMax} bytes`, { subject: path });
    }
    return await file.readFile();
  } finally {
    await file.close();
  }
}
