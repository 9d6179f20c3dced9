/** FIFOs between us and a shim. */
import { closeSync, constants, openSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import type { Socket } from 'node:net';
import { writeEnd } from '../../../host/io/descriptors.ts';
import { codeOf } from '../../../host/ffi/errno.ts';
import { mknodAt } from '../../../host/files/files-at.ts';
import { SocketReader } from '../../../host/io/socket-reader.ts';

/** S_IFIFO (inode(7)) and the owner's bits. */
const FIFO_MODE = 0o010600;

/** Makes one; one that is there stays. */
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

/** Opens at once, before there is a writer; ends when the last writer has gone. */
export function readFifo(path: string): SocketReader {
  return new SocketReader(openSync(path, constants.O_RDONLY | constants.O_NONBLOCK));
}

/** Opens at once, before there is a reader: as a reader, too, which never reads. */
export function writeFifo(path: string): Socket {
  return writeEnd(openSync(path, constants.O_RDWR | constants.O_NONBLOCK));
}
