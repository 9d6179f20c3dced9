/** A shim's own log: it writes into the FIFO `log` of its bundle, and would wait there for a reader. */
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
 * Its lines go to our log at debug, cut to a bound; lines that come while the daemon is away are lost. What a guest logs comes
 * through here: read from time to time, and of each read some lines, however many there are. Opened for writing, too, so that
 * the shim's end of it may come and go. Gives what ends it.
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
    // the pod is being taken away
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
