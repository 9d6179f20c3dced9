/** Files of the operator: a bounded size, and a missing one is none. */
import { open } from 'node:fs/promises';
import { fail } from '../../base/fault.ts';
import { codeOf } from '../../host/errno.ts';

/** The bytes; undefined when there is no such file. Throws `invalidRequest` for one that is larger. */
export async function readCapped(file: string, bytesMax: number): Promise<Buffer | undefined> {
  const handle = await missingAs(open(file, 'r'), undefined);
  if (handle === undefined) return undefined;
  try {
    const { size } = await handle.stat();
    if (size > bytesMax) fail('invalidRequest', `read ${file}: ${size} bytes, more than the ${bytesMax} allowed`);
    const bytes = Buffer.alloc(size);
    const { bytesRead } = await handle.read(bytes, 0, size, 0);
    return bytes.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}

/** What the work gives, or `missing` where there is no such file or directory. */
export async function missingAs<T>(work: Promise<T>, missing: T): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return missing;
    throw error;
  }
}
