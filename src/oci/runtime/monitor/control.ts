/**
 * conmon's control FIFO. It takes one line `<message type> <height> <width>`: type 1 resizes the terminal, type 2
 * reopens the log.
 */
import { constants } from 'node:fs';
import { lstat, open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { basename } from 'node:path';
import { FaultError, fail, fault } from '../../../base/fault.ts';
import { monitorLimits } from '../bounds.ts';
import { codeOf, isAbsent } from '../../../host/ffi/errno.ts';
import type { HostIdentity } from '../../../host/process/process-identity.ts';
import { poll } from '../../../host/clock/wait.ts';
import type { WaitBound } from '../../../host/clock/wait.ts';
import { openFiles } from './monitor-process.ts';
import type { ProcessFile } from './monitor-process.ts';

const REOPEN = '2 0 0\n';

export interface ReopenRequest extends WaitBound {
  readonly id: string;
  readonly fifo: string;
  readonly monitor: HostIdentity;
  /** Absolute path. */
  readonly logPath: string;
}

/**
 * Has the monitor reopen its log and returns once it has. conmon does not answer, so its open files are compared
 * before and after: through procfs, since the log may be on a file system that does not answer.
 */
export async function reopenMonitorLog(request: ReopenRequest): Promise<void> {
  const { id, clock, monitor, logPath } = request;
  const attempted = `reopen log of container ${id}`;
  const before = new Set(openFiles(monitor.pid).map(keyOf));
  await writeFifo(request.fifo, REOPEN, attempted, id);
  const reopened = await poll(
    {
      clock,
      timeoutMs: Math.min(request.timeoutMs, monitorLimits.reopenMs),
      ...(request.signal === undefined ? {} : { signal: request.signal }),
      firstMs: monitorLimits.reopenPollFirstMs,
      lastMs: monitorLimits.reopenPollLastMs,
      attempted,
    },
    () => {
      const files = openFiles(monitor.pid);
      if (files.length === 0) fail('wrongState', `${attempted}: the monitor has exited`, { subject: id });
      // compared by name: conmon renames the new file over the log, and the directory may be reached through symbolic
      // links
      return files.some((file) => basename(file.path) === basename(logPath) && !before.has(keyOf(file)))
        ? true
        : undefined;
    },
  );
  if (reopened === undefined)
    fail('timedOut', `${attempted}: timed out waiting for the monitor to reopen ${logPath}`, { subject: id });
}

/**
 * Whether the monitor writes to the file at this path. A reopen would then replace it by an empty file and lose its
 * content. That is the case when a reopen is repeated because the answer to the first one came too late.
 */
export async function writesTo(monitor: HostIdentity, logPath: string): Promise<boolean> {
  try {
    const inode = String((await lstat(logPath, { bigint: true })).ino);
    // The link in /proc follows a rename and shows a deletion, so a file of this name and inode is the one at the
    // path. Where the kernel does not report the inode, the name must do.
    return openFiles(monitor.pid).some(
      (file) => (file.inode === inode || file.inode === '') && basename(file.path) === basename(logPath),
    );
  } catch (error) {
    if (isAbsent(error)) return false;
    throw error;
  }
}

/** Sends the size of the container's terminal to the monitor, which ignores it if there is no terminal. */
export async function resizeTerminal(
  fifo: string,
  id: string,
  size: { readonly rows: number; readonly columns: number },
): Promise<void> {
  await writeFifo(fifo, `1 ${size.rows} ${size.columns}\n`, `resize the terminal of container ${id}`, id);
}

function keyOf(file: ProcessFile): string {
  return `${file.inode} ${file.path}`;
}

async function writeFifo(path: string, text: string, attempted: string, id: string): Promise<void> {
  let fifo: FileHandle | undefined;
  try {
    // a blocking open would wait until there is a reader
    fifo = await open(path, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
    if (!(await fifo.stat()).isFIFO())
      fail('outside', `${attempted}: ${path} is not a FIFO`, { subject: id });
    await fifo.write(text);
  } catch (error) {
    // no reader, no FIFO, or the reader closed it between open and write
    const hasNoReader = ['ENXIO', 'ENOENT', 'EPIPE'].includes(codeOf(error) ?? '');
    throw hasNoReader
      ? new FaultError(fault('wrongState', `${attempted}: the monitor is not listening`, { subject: id }))
      : error;
  } finally {
    await fifo?.close();
  }
}
