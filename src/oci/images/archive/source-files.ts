/** Files of an image that lies on a disk, by their plain path: below a directory, or inside a tar. */
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
  /** All of it, or `outside` when it is larger. */
  whole(maxBytes: number): Promise<Uint8Array>;
  /** From a byte on. */
  pieces(from?: number): AsyncIterable<Uint8Array>;
}

export interface SourceFiles {
  /** Where they are, for messages. */
  readonly place: string;
  /** Undefined when there is no such file. */
  find(path: string): Promise<SourceFile | undefined>;
  close(): Promise<void>;
}

/** The files below a directory. Symlinks in it are not followed in the last component: no layout has them. */
export function directoryFiles(directory: string): SourceFiles {
  return {
    place: directory,
    find: async (path) => {
      const name = join(directory, plainPath(path));
      try {
        // a link, a FIFO or a device in a layout is nothing that a builder puts there
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

/** The files inside a tar. Throws `outside` for what is none, a compressed one included. */
export async function tarFiles(path: string): Promise<SourceFiles> {
  const handle: FileHandle = await open(path, constants.O_RDONLY);
  let index: TarIndex;
  try {
    index = await indexTar(handle, path);
  } finally {
    await handle.close();
  }
  return {
    place: path,
    find: async (name) => {
      const entry = index.file(plainPath(name));
      return entry === undefined ? undefined : part(path, entry.offset, entry.size);
    },
    close: async () => undefined,
  };
}

/** Bytes in memory as a file. */
export function memoryFile(bytes: Uint8Array): SourceFile {
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
    if (left !== 0) fail('outside', `read ${path}: it became shorter meanwhile`);
  }
  return {
    size,
    pieces,
    whole: async (maxBytes) => {
      if (size > maxBytes)
        fail('outside', `read ${path}: a document of ${size} bytes, more than the ${maxBytes} allowed`);
      const kept = new ByteBlocks(`read ${path}`, maxBytes);
      for await (const piece of pieces()) kept.append(piece);
      return kept.takeAll();
    },
  };
}
