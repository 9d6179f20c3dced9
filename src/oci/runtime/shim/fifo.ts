/** FIFOs between the daemon and a shim. */
import { closeSync, constants, openSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import type { Socket } from 'node:net';
import { writeEnd } from '../../../host/io/descriptors.ts';
import { codeOf } from '../../../host/ffi/errno.ts';
import { mknodAt } from '../../../host/files/files-at.ts';
import { SocketReader } from '../../../host/io/socket-reader.ts';

/** S_IFIFO (inode(7)) and mode 0600. */
const FIFO_MODE = 0o010600;

/** Makes a FIFO; keeps an existing one. */
export function makeFifo(path: string): void {
  const directory = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    mknodAt(directory, Buffer.from(basename(path)), FIFO_MODE);
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
  } finally {
    closeSync(directory);
  }
}

/** Opens for reading without waiting for a writer; ends when the last writer has closed it. */
export function readFifo(path: string): SocketReader {
  return new SocketReader(openSync(path, constants.O_RDONLY | constants.O_NONBLOCK));
}

/** Opens for writing without waiting for a reader, by opening it for reading, too; nothing is read. */
export function writeFifo(path: string): Socket {
  return writeEnd(openSync(path, constants.O_RDWR | constants.O_NONBLOCK));
}
