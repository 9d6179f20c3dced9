/** Files of the operator: a bounded size, and a missing one is none. */
import { open } from 'node:fs/promises';
import { fail } from '../../base/fault.ts';
import { missingAs } from '../../host/errno.ts';

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
