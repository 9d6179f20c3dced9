/** Reading small files with two calls of the pool: Node's own readFile takes four or five, and a pod's life has some twenty. */
import { closeSync, constants, fstat, open, read } from 'node:fs';
import { promisify } from 'node:util';
import { codeOf, onlyAbsent } from '../ffi/errno.ts';
import { isInMemory, readAtOnce } from './state-files.ts';

const openLater = promisify(open);
const readLater = promisify(read);
const statLater = promisify(fstat);

export interface SmallFileBounds {
  /** Bytes that are read at once; not more than `bytesMax`. */
  readonly usualBytes: number;
  readonly bytesMax: number;
}

/**
 * The UTF-8 text of a regular file; undefined when there is none, empty when it has more than `bytesMax` bytes. For
 * files in directories of ours that we, the runtime or its monitor wrote, and for control files of cgroups: closing
 * one waits for nothing (what waits in close(2) is the flush of written data to a server) and needs no hop.
 */
export async function readSmallFile(
  path: string,
  { usualBytes, bytesMax }: SmallFileBounds,
): Promise<string | undefined> {
  if (isInMemory(path)) return readAtOnce(path, bytesMax)?.toString('utf8');
  // a FIFO that somebody has put there opens at once
  const fd = await openLater(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((error: unknown) =>
    isNoFile(error) ? undefined : onlyAbsent(error),
  );
  if (fd === undefined) return undefined;
  try {
    const usual = await readAtMost(fd, usualBytes);
    if (usual !== undefined) return usual;
    // a control file has no size
    const { size } = await statLater(fd);
    const whole = size > usualBytes ? await readAtMost(fd, Math.min(size, bytesMax)) : undefined;
    return whole ?? (size > bytesMax ? '' : await readAtMost(fd, bytesMax)) ?? '';
  } catch (error) {
    if (isNoFile(error)) return undefined;
    throw error;
  } finally {
    closeSync(fd);
  }
}

/** A directory, a FIFO (which has no positions) or a socket in its place is no file, as in memory. */
function isNoFile(error: unknown): boolean {
  return ['EISDIR', 'ESPIPE', 'ENXIO'].includes(codeOf(error) ?? '');
}

/** The whole file, or undefined when it has more bytes: a read of a regular file is short only at its end. */
async function readAtMost(fd: number, bytesMax: number): Promise<string | undefined> {
  const bytes = Buffer.allocUnsafe(bytesMax + 1);
  const { bytesRead } = await readLater(fd, bytes, 0, bytes.length, 0);
  return bytesRead > bytesMax ? undefined : bytes.toString('utf8', 0, bytesRead);
}
