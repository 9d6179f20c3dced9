/**
 * Reads a directory's entries in bounded batches, for the main thread: whoever can write there may have
 * created millions.
 */
import type { Dir, Dirent } from 'node:fs';
import { opendir } from 'node:fs/promises';
import { inPool } from '../ffi/pool.ts';

/** Node's types declare only text encodings. */
const NAMES_AS_BYTES: string = 'buffer';

export interface EntriesOptions {
  /** Key of the calls for libuv's pool: what they may hang on. */
  readonly key: string;
  /** Entries that are read, and held, at once. */
  readonly atOnce: number;
}

/**
 * The entries of `directory` without `.` and `..`, their names as bytes; holds one batch at a time. Throws
 * the errors of opendir(3) and readdir(3). The directory is closed when the caller ends the loop.
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
    await closed(entries, key);
  }
}

/** Closes in the pool's share of `key`; where that has no room left, at once, so that the descriptor is not kept. */
async function closed(entries: Dir, key: string): Promise<void> {
  let hasBegun = false;
  const close = (): Promise<void> => {
    hasBegun = true;
    return entries.close();
  };
  try {
    await inPool(key, close);
  } catch (error) {
    if (hasBegun) throw error;
    await close();
  }
}

/** Only the first read of a batch reaches the kernel; the others take entries that it returned. */
async function readBatch(entries: Dir, atOnce: number): Promise<readonly Dirent<Buffer>[]> {
  const batch: Dirent<Buffer>[] = [];
  while (batch.length < atOnce) {
    const entry: Dirent<string | Buffer> | null = await entries.read();
    if (entry === null) break;
    batch.push(entry as Dirent<Buffer>);
  }
  return batch;
}
