/** Finds the files of an image on disk by their path, below a directory or inside a tar. */
import { constants, createReadStream } from 'node:fs';
import { lstat, open, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { ByteBlocks } from '../../../base/byte-blocks.ts';
import { fail } from '../../../base/fault.ts';
import { isAbsent } from '../../../host/ffi/errno.ts';
import { plainPath } from '../../layers/unpack-path.ts';
import { indexTar, type TarIndex } from './tar-index.ts';

export interface SourceFile {
  /** Bytes. */
  readonly size: number;
  /** Reads the whole file. Throws `outside` when it is larger than `maxBytes`. */
  whole(maxBytes: number): Promise<Uint8Array>;
  /** Reads the file from byte `from` on. */
  pieces(from?: number): AsyncIterable<Uint8Array>;
}

export interface SourceFiles {
  /** Path of the directory or tar, for messages. */
  readonly path: string;
  /** Resolves to undefined when the file does not exist. */
  find(path: string): Promise<SourceFile | undefined>;
  close(): Promise<void>;
}

/** The files below a directory. A symlink in the last component is not followed: layouts have none. */
export function directoryFiles(directory: string): SourceFiles {
  return {
    path: directory,
    find: async (path) => {
      const name = join(directory, plainPath(path));
      try {
        // builders write only regular files into a layout: treat a symlink, FIFO or device as missing
        const stats = await lstat(name);
        return stats.isFile() ? part(name, 0, stats.size) : undefined;
      } catch (error) {
        if (isAbsent(error)) return undefined;
        throw error;
      }
    },
    close: async () => undefined,
  };
}

/** The files inside a tar. Throws `outside` when it is not an uncompressed tar. */
export async function tarFiles(path: string): Promise<SourceFiles> {
  const handle: FileHandle = await open(path, constants.O_RDONLY);
  let index: TarIndex;
  try {
    index = await indexTar(handle, path);
  } finally {
    await handle.close();
  }
  return {
    path,
    find: async (name) => {
      const entry = index.file(plainPath(name));
      return entry === undefined ? undefined : part(path, entry.offset, entry.size);
    },
    close: async () => undefined,
  };
}

/** Bytes in memory as a file. */
export function memorySource(bytes: Uint8Array): SourceFile {
  return {
    size: bytes.byteLength,
    whole: async () => bytes,
    async *pieces(from = 0) {
      if (from < bytes.byteLength) yield bytes.subarray(from);
    },
  };
}

function part(path: string, offset: number, size: number): SourceFile {
  async function* pieces(from = 0): AsyncGenerator<Uint8Array, void, void> {
    if (from >= size) return;
    let left = size - from;
    for await (const piece of createReadStream(path, { start: offset + from, end: offset + size - 1 })) {
      left -= (piece as Buffer).length;
      yield piece as Buffer;
    }
    if (left !== 0) fail('outside', `read ${path}: the file shrank while it was read`);
  }
  return {
    size,
    pieces,
    whole: async (maxBytes) => {
      if (size > maxBytes)
        fail('outside', `read ${path}: the document has ${size} bytes, more than the ${maxBytes} allowed`);
      const kept = new ByteBlocks(`read ${path}`, maxBytes);
      for await (const piece of pieces()) kept.append(piece);
      return kept.takeAll();
    },
  };
}
