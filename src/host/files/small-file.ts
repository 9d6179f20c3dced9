/**
 * Reads small files with two calls in the pool; Node's own readFile takes four or five, and one pod needs
 * some twenty such reads.
 */
import { closeSync, constants, fstat, open, read } from 'node:fs';
import { promisify } from 'node:util';
import { codeOf, onlyAbsent } from '../ffi/errno.ts';
import { isInMemory, readAtOnce } from './state-files.ts';

const openLater = promisify(open);
const readLater = promisify(read);
const statLater = promisify(fstat);

export interface SmallFileBounds {
  /** Bytes that the first read takes; not more than `bytesMax`. */
  readonly usualBytes: number;
  readonly bytesMax: number;
}

/**
 * The UTF-8 text of a regular file; undefined when it does not exist, empty when it has more than `bytesMax`
 * bytes. For files in our directories that troupe, the runtime or its monitor wrote, for control files of
 * cgroups, and for those below /proc: closing these never blocks (close(2) waits only to flush written data to
 * a server), so it needs no call in the pool.
 */
export async function readSmallFile(
  path: string,
  { usualBytes, bytesMax }: SmallFileBounds,
): Promise<string | undefined> {
  if (isInMemory(path)) return readAtOnce(path, bytesMax)?.toString('utf8');
  // O_NONBLOCK: opening a FIFO in its place does not block
  const fd = await openLater(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((error: unknown) =>
    isNoFile(error) ? undefined : onlyAbsent(error),
  );
  if (fd === undefined) return undefined;
  try {
    const usual = await readAtMost(fd, usualBytes);
    if (usual !== undefined) return usual;
    // control files have size 0
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

/**
 * A directory, a FIFO (which has no positions) or a socket in its place counts as absent, as for files in
 * memory.
 */
function isNoFile(error: unknown): boolean {
  return ['EISDIR', 'ESPIPE', 'ENXIO'].includes(codeOf(error) ?? '');
}

/** The whole file, or undefined when it is longer: a read of a regular file is short only at its end. */
async function readAtMost(fd: number, bytesMax: number): Promise<string | undefined> {
  const bytes = Buffer.allocUnsafe(bytesMax + 1);
  const { bytesRead } = await readLater(fd, bytes, 0, bytes.length, 0);
  return bytesRead > bytesMax ? undefined : bytes.toString('utf8', 0, bytesRead);
}
