/** Files in whose place others may have put something else. */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { fail } from '../../base/fault.ts';

/**
 * The content of a regular file of at most `bytesMax` bytes. A FIFO in its place does not block (fifo(7),
 * O_NONBLOCK). Throws `outside` for anything but such a file, and Node's errors.
 */
export async function readRegularFile(path: string, bytesMax: number): Promise<Buffer> {
  const file = await openUnblocked(path);
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

/** The first bytes of a regular file, or all of a shorter one. Throws as `readRegularFile`. */
export async function readRegularHead(path: string, bytes: number): Promise<Buffer> {
  const file = await openUnblocked(path);
  try {
    if (!(await file.stat()).isFile()) fail('outside', `read ${path}: not a regular file`, { subject: path });
    const { buffer, bytesRead } = await file.read(Buffer.alloc(bytes), 0, bytes, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

const openUnblocked = (path: string): ReturnType<typeof open> =>
  open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
