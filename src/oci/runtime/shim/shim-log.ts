/** A shim's own log: the shim writes it to the FIFO `log` of its bundle, and blocks there without a reader. */
import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import type { ClockPort, TimerHandle } from '../../../ports/clock.ts';
import { printable } from '../../../base/fault.ts';
import { LineCutter } from '../../../base/line-cutter.ts';
import { shimLimits } from '../bounds.ts';
import type { Log } from '../../../base/log.ts';
import { SocketReader } from '../../../host/io/socket-reader.ts';
import { makeFifo } from './fifo.ts';

export function makeLogFifo(path: string): void {
  makeFifo(path);
}

/**
 * Copies the lines to the daemon's log at debug level, each cut to a bound; lines written while the daemon is not
 * running are lost. A guest can write any amount, so the FIFO is read at intervals and only some lines of each read
 * are kept. It is opened for writing, too, so that the shim may close and reopen its end. Returns a function that
 * stops the copying.
 */
export function followLog(
  path: string,
  id: string,
  { log, clock }: { readonly log: Log; readonly clock: ClockPort },
): () => void {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK | constants.O_NOFOLLOW);
  } catch {
    // the pod is being removed
    return () => undefined;
  }
  if (!fstatSync(fd).isFIFO()) {
    closeSync(fd);
    return () => undefined;
  }
  const reader = new SocketReader(fd);
  const cutter = new LineCutter(shimLimits.logLineBytes);
  let timer: TimerHandle | undefined;
  reader.start((bytes) => {
    const lines = [...cutter.push(bytes)].filter((line) => line !== '');
    for (const line of lines.slice(0, shimLimits.logLinesPerRead))
      log.debug({ sandbox: id, line: printable(line) }, 'shim');
    const dropped = lines.length - shimLimits.logLinesPerRead;
    if (dropped > 0) log.debug({ sandbox: id, dropped }, 'shim: lines dropped');
    reader.pause();
    timer = clock.setTimeout(() => reader.resume(), shimLimits.logReadEveryMs);
  });
  return () => {
    if (timer !== undefined) clock.clearTimeout(timer);
    reader.destroy();
  };
}
