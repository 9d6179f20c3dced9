/** Reads an operator's file with a size limit. */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { fail } from '../../../base/fault.ts';
import { codeOf, isAbsent } from '../../../host/ffi/errno.ts';

/**
 * Reads the file; resolves to undefined if it does not exist. Throws `invalidRequest` if it is larger, cannot be read
 * or is not a regular file: a FIFO would block a pool thread forever, and a device may never end (F95).
 */
export async function readCapped(file: string, bytesMax: number): Promise<Buffer | undefined> {
  const refuse = (reason: string): never =>
    fail('invalidRequest', `read ${file}: ${reason}`, { subject: file });
  const { O_RDONLY, O_NONBLOCK, O_NOCTTY } = constants;
  const handle = await open(file, O_RDONLY | O_NONBLOCK | O_NOCTTY).catch((thrown: unknown) =>
    isAbsent(thrown) ? undefined : refuse(codeOf(thrown) ?? String(thrown)),
  );
  if (handle === undefined) return undefined;
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) refuse('not a regular file');
    if (stat.size > bytesMax) refuse(`the file has ${stat.size} bytes, more than the ${bytesMax} allowed`);
    const bytes = Buffer.alloc(stat.size);
    const { bytesRead } = await handle.read(bytes, 0, stat.size, 0);
    return bytes.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}
