/** The directory in which the flight recorder writes its segments. */
import { mkdir, open, readdir, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { missingAs } from '../../host/ffi/errno.ts';
import type { SegmentStore } from '../../introspection/flight/writer.ts';

/** Where the segments of an instance with this root are. */
export function flightDirectory(root: string): string {
  return join(root, 'flight');
}

/** Opens the directory; creates it with mode 0700 when it does not exist. */
export async function openFlight(directory: string): Promise<SegmentStore> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  return {
    list: async () => {
      const names = (await readdir(directory)).toSorted();
      return Promise.all(
        names.map(async (name) => ({
          name,
          bytes: (await missingAs(stat(join(directory, name)), undefined))?.size ?? 0,
        })),
      );
    },
    create: async (name) => {
      const file = await open(join(directory, name), 'ax', 0o600);
      return {
        append: async (bytes) => {
          for (let done = 0; done < bytes.length;)
            done += (await file.write(bytes, done, bytes.length - done, null)).bytesWritten;
        },
        close: () => file.close(),
      };
    },
    remove: (name) => missingAs(unlink(join(directory, name)), undefined),
  };
}
