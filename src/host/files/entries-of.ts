/** Entries of a directory in bounded batches, for the main thread: whoever can write there may have put millions into it. */
import type { Dir, Dirent } from 'node:fs';
import { opendir } from 'node:fs/promises';
import { inPool } from '../ffi/pool.ts';

/** As bytes: Node's types know of texts only. */
const NAMES_AS_BYTES: string = 'buffer';

export interface EntriesOptions {
  /** What the calls may hang on, for libuv's pool. */
  readonly key: string;
  /** Entries that are read, and kept, at once. */
  readonly atOnce: number;
}

/**
 * The entries of `directory` with names of any bytes, without `.` and `..`; one batch of them is in memory at a time.
 * Throws what opendir(3) or readdir(3) say. The directory is closed when the caller ends the loop.
 */
export async function* entriesOf(
  directory: string | Buffer,
  { key, atOnce }: EntriesOptions,
): AsyncGenerator<Dirent<Buffer>> {
  const entries = await inPool(key, () =>
    opendir(directory, { encoding: NAMES_AS_BYTES as BufferEncoding, bufferSize: atOnce }),
  );
  try {
    for (;;) {
      const batch = await inPool(key, () => readBatch(entries, atOnce));
      yield* batch;
      if (batch.length < atOnce) return;
    }
  } finally {
    await entries.close();
  }
}

/** One way to the kernel: the next reads after the first take from what that has brought. */
async function readBatch(entries: Dir, atOnce: number): Promise<readonly Dirent<Buffer>[]> {
  const batch: Dirent<Buffer>[] = [];
  while (batch.length < atOnce) {
    const entry: Dirent<string | Buffer> | null = await entries.read();
    if (entry === null) break;
    batch.push(entry as Dirent<Buffer>);
  }
  return batch;
}
