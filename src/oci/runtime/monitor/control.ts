/** conmon's control FIFO: one line `<message type> <height> <width>`; type 1 resizes the terminal, type 2 reopens the log file. */
import { constants } from 'node:fs';
import { lstat, open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { basename } from 'node:path';
import { FaultError, fail, fault } from '../../../base/fault.ts';
import { monitorLimits } from '../bounds.ts';
import { codeOf, isAbsent } from '../../../host/ffi/errno.ts';
import type { ProcessIdentity } from '../../../host/process/process-identity.ts';
import { poll } from '../../../host/clock/wait.ts';
import type { Bound } from '../../../host/clock/wait.ts';
import { openFiles } from './monitor-process.ts';
import type { OpenFile } from './monitor-process.ts';

const REOPEN = '2 0 0\n';

export interface ReopenRequest extends Bound {
  readonly id: string;
  readonly fifo: string;
  readonly monitor: ProcessIdentity;
  /** Absolute. */
  readonly logPath: string;
}

/**
 * Tells the monitor to open its log anew and returns when it has. conmon gives no answer, so its open files are
 * looked at before and after: by procfs, since a log directory may lie on a file system that doesn't answer.
 */
export async function reopenLog(request: ReopenRequest): Promise<void> {
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
      if (files.length === 0) fail('wrongState', `${attempted}: its monitor has ended`, { subject: id });
      // the new file is made beside the log and renamed over it; the directory may be reached through links
      return files.some((file) => basename(file.path) === basename(logPath) && !before.has(keyOf(file)))
        ? true
        : undefined;
    },
  );
  if (reopened === undefined)
    fail('timedOut', `${attempted}: the monitor has not opened ${logPath} anew`, { subject: id });
}

/**
 * Whether the file at the path is the one that the monitor writes. Told to reopen it then, conmon would put an empty file in
 * its place, and what was written is lost: a reopen that is repeated because its answer came too late is such a case.
 */
export async function writesTo(monitor: ProcessIdentity, logPath: string): Promise<boolean> {
  try {
    const inode = String((await lstat(logPath, { bigint: true })).ino);
    // the link follows a rename and tells a deletion: a file of that name and number is the one at the path, and where the kernel
    // tells no number the name has to do
    return openFiles(monitor.pid).some(
      (file) => (file.inode === inode || file.inode === '') && basename(file.path) === basename(logPath),
    );
  } catch (error) {
    if (isAbsent(error)) return false;
    throw error;
  }
}

/** Tells the monitor the size of its container's terminal; one without a terminal takes no notice. */
export async function resizeTerminal(
  fifo: string,
  id: string,
  size: { readonly rows: number; readonly columns: number },
): Promise<void> {
  await writeFifo(fifo, `1 ${size.rows} ${size.columns}\n`, `resize the terminal of container ${id}`, id);
}

function keyOf(file: OpenFile): string {
  return `${file.inode} ${file.path}`;
}

async function writeFifo(path: string, text: string, attempted: string, id: string): Promise<void> {
  let fifo: FileHandle | undefined;
  try {
    // without a reader a blocking open would hang until there is one
    fifo = await open(path, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
    if (!(await fifo.stat()).isFIFO()) fail('outside', `${attempted}: ${path} is no FIFO`, { subject: id });
    await fifo.write(text);
  } catch (error) {
    // no reader, no FIFO any more, or the reader went between the two calls
    const isDeaf = ['ENXIO', 'ENOENT', 'EPIPE'].includes(codeOf(error) ?? '');
    throw isDeaf
      ? new FaultError(fault('wrongState', `${attempted}: its monitor does not listen`, { subject: id }))
      : error;
  } finally {
    await fifo?.close();
  }
}
