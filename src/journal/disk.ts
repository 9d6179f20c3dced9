/** The journal's directory on a real file system. */
import { constants, mkdir, open, readdir, rename, unlink } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import type { DiskFile, DiskPort } from '../ports/disk.ts';
import { fail } from '../base/fault.ts';

/** Opens the directory; creates it with mode 0700 when it does not exist. */
export async function openDisk(directory: string): Promise<DiskPort> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  return {
    list: async () => (await readdir(directory)).toSorted(),
    read: async (name) => unlessAbsent(() => readRegular(join(directory, name)), undefined),
    create: async (name) => diskFile(await open(join(directory, name), 'ax', 0o600)),
    openAt: (name, length) => openAt(join(directory, name), length),
    writeAgain: (name, bytes) => writeAgain(join(directory, name), bytes),
    rename: (from, to) => rename(join(directory, from), join(directory, to)),
    unlink: (name) => unlessAbsent(() => unlink(join(directory, name)), undefined),
    syncDirectory: () => syncDirectory(directory),
  };
}

/**
 * O_NONBLOCK: opening a FIFO in the file's place would otherwise block the start for ever. A FIFO is an
 * error, as a directory is.
 */
async function readRegular(path: string): Promise<Uint8Array> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    if (!(await file.stat()).isFile()) fail('outside', `read ${path}: not a regular file`, { subject: path });
    return await file.readFile();
  } finally {
    await file.close();
  }
}

async function openAt(path: string, length: number): Promise<DiskFile> {
  // not 'a': it would create a missing file, and the truncate would then fill it with zeros
  const file = await open(path, constants.O_WRONLY | constants.O_APPEND | constants.O_NONBLOCK);
  try {
    await file.truncate(length);
  } catch (thrown) {
    await file.close();
    throw thrown;
  }
  return diskFile(file);
}

async function writeAgain(path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(path, 'r+');
  try {
    await file.writeFile(bytes);
  } finally {
    await file.close();
  }
}

function diskFile(file: FileHandle): DiskFile {
  return {
    append: async (bytes) => {
      // appendFile makes the same calls with more promises
      for (let done = 0; done < bytes.length;)
        done += (await file.write(bytes, done, bytes.length - done, null)).bytesWritten;
    },
    sync: () => file.datasync(),
    size: async () => (await file.stat()).size,
    close: () => file.close(),
  };
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function unlessAbsent<T>(work: () => Promise<T>, otherwise: T): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    if ((thrown as { code?: unknown }).code === 'ENOENT') return otherwise;
    throw thrown;
  }
}
