/** A shim's own log: it writes into the FIFO `log` of its bundle, and would wait there for a reader. */
import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { printable } from '../../base/fault.ts';
import { shimLimits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import { readEnd } from '../../host/descriptors.ts';
import { makeFifo } from './fifo.ts';

export function makeLogFifo(path: string): void {
  makeFifo(path);
}

/**
 * Its lines go to our log at debug, cut to a bound; lines that come while the daemon is away are lost. Opened for writing,
 * too, so that the shim's end of it may come and go. Gives what ends it.
 */
export function followLog(path: string, id: string, log: Log): () => void {
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
  const stream = readEnd(fd);
  let pending = '';
  stream.on('data', (chunk: Buffer) => {
    const lines = (pending + chunk.toString('utf8')).split('\n');
    pending = (lines.pop() ?? '').slice(0, shimLimits.logPendingBytes);
    for (const line of lines) if (line !== '') log.debug({ sandbox: id, line: printable(line.slice(0, shimLimits.logLineChars)) }, 'shim');
  });
  stream.on('error', () => undefined);
  return () => stream.destroy();
}
