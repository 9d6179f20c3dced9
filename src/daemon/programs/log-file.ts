/** A container's log file: opened without following links, read from the end or the beginning. */
import { close, closeSync, fstat, read } from 'node:fs';
import type { BigIntStats } from 'node:fs';
import { lstat } from 'node:fs/promises';
import { posix } from 'node:path';
import { promisify } from 'node:util';
import { fail } from '../../base/fault.ts';
import { O_DIRECTORY, O_NOCTTY, O_NONBLOCK, O_PATH, O_RDONLY, AT_FDCWD } from '../../host/ffi/constants.ts';
import { codeOf, isAbsent, missingAs } from '../../host/ffi/errno.ts';
import { isEscape, openAt, openBeneath } from '../../host/files/files-at.ts';
import { programLimits } from '../bounds.ts';
import { endsLine } from './log-parser.ts';

const closeLater = promisify(close);
const readLater = promisify(read);
const statLater = promisify<number, { bigint: true }, BigIntStats>(fstat);

const NEWLINE = 0x0a;

/**
 * A log that is open. The kubelet rotates a log by renaming it, so the file may have another name meanwhile; it is read
 * to its end before the new one.
 */
export class LogFile {
  readonly #path: string;
  readonly #fd: number;
  readonly #inode: bigint;
  #position = 0;

  private constructor(path: string, fd: number, inode: bigint) {
    this.#path = path;
    this.#fd = fd;
    this.#inode = inode;
  }

  /**
   * Opens the log. The last directory and the file must not be symbolic links, as for the daemon that made them (S32):
   * a container may have the log directory as a volume. Throws `notFound`, or `outside` for anything but a regular
   * file.
   */
  static async open(path: string): Promise<LogFile> {
    const fd = openLog(path);
    try {
      const { ino } = await checked(fd, path);
      return new LogFile(path, fd, ino);
    } catch (error) {
      await closeLater(fd);
      throw error;
    }
  }

  close(): Promise<void> {
    return closeLater(this.#fd);
  }

  /** The next bytes; none at the present end. A file that was truncated is read from its beginning. */
  async read(): Promise<Buffer> {
    const buffer = Buffer.allocUnsafe(programLimits.logBlockBytes);
    const { bytesRead } = await readLater(this.#fd, buffer, 0, buffer.length, this.#position);
    this.#position += bytesRead;
    if (bytesRead === 0 && (await this.left()) < 0) {
      this.#position = 0;
      return this.read();
    }
    return buffer.subarray(0, bytesRead);
  }

  /** Whether another file has the log's name now. False while none has it. */
  async isReplaced(): Promise<boolean> {
    const found = await missingAs(lstat(this.#path, { bigint: true }), undefined);
    return found !== undefined && found.ino !== this.#inode;
  }

  /** Bytes that are not read yet. */
  async left(): Promise<number> {
    return Number((await statLater(this.#fd, { bigint: true })).size) - this.#position;
  }

  /** Goes on behind all that is in the log now. */
  async skipToEnd(): Promise<void> {
    this.#position += Math.max(0, await this.left());
  }

  /** Goes on with the last `lines` lines, each of which may have several entries. */
  async skipToLast(lines: number): Promise<void> {
    let at = (this.#position = Number((await statLater(this.#fd, { bigint: true })).size));
    let found = 0;
    /** The end of an entry whose beginning is in the block before. */
    let later: Buffer = Buffer.alloc(0);
    while (at > 0) {
      const size = Math.min(at, programLimits.logBlockBytes);
      at -= size;
      const block = Buffer.allocUnsafe(size);
      await readLater(this.#fd, block, 0, size, at);
      const bytes = Buffer.concat([block, later]);
      let end = bytes.length;
      while (end > 0) {
        // the newline that ends the entry before
        const newline = end < 2 ? -1 : bytes.lastIndexOf(NEWLINE, end - 2);
        if (newline < 0 && at > 0) break;
        if (endsLine(bytes.subarray(newline + 1, end)) && found++ === lines) return;
        end = newline + 1;
        this.#position = at + end;
      }
      later = bytes.subarray(0, end);
      if (later.length > programLimits.logEntryBytes)
        fail('outside', `read log ${this.#path}: an entry of more than ${programLimits.logEntryBytes} bytes`);
    }
  }
}

function openLog(path: string): number {
  const directory = posix.dirname(path);
  try {
    const above = openAt(AT_FDCWD, posix.dirname(directory), O_PATH | O_DIRECTORY);
    try {
      return openBeneath(
        above,
        posix.join(posix.basename(directory), posix.basename(path)),
        // a FIFO in its place must not block
        O_RDONLY | O_NONBLOCK | O_NOCTTY,
      );
    } finally {
      closeSync(above);
    }
  } catch (error) {
    if (isAbsent(error)) fail('notFound', `read log ${path}: not found`, { subject: path });
    if (isEscape(error)) fail('outside', `read log ${path}: a symbolic link`, { subject: path });
    if (codeOf(error) === 'ENXIO') fail('outside', `read log ${path}: not a regular file`, { subject: path });
    throw error;
  }
}

async function checked(fd: number, path: string): Promise<BigIntStats> {
  const found = await statLater(fd, { bigint: true });
  if (!found.isFile()) fail('outside', `read log ${path}: not a regular file`, { subject: path });
  return found;
}
