/** The directory in which the flight recorder writes its segments. */
import { mkdir, open, readdir, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { missingAs } from '../../host/ffi/errno.ts';
import { namesIfDirectory } from '../../host/files/names-of.ts';
import { readSmallFile } from '../../host/files/small-file.ts';
import { flightLimits } from '../../introspection/bounds.ts';
import type { PastSegments } from '../../introspection/flight/history.ts';
import { isSegment } from '../../introspection/flight/writer.ts';
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

/** The segments of the directory, to be read. */
export function pastFlight(directory: string): PastSegments {
  const bounds = { usualBytes: 1024 * 1024, bytesMax: 2 * flightLimits.segmentBytes };
  return {
    list: async () => (await namesIfDirectory(directory)).filter(isSegment).toSorted(),
    read: (name) => readSmallFile(join(directory, name), bounds),
  };
}
