/** Pipes and sockets as sources and sinks of bytes. */
import type { Socket } from 'node:net';
import { ByteQueue } from '../../base/byte-streams.ts';
import type { ByteSink, ByteSource } from '../../base/byte-streams.ts';
import { fail } from '../../base/fault.ts';
import { hostLimits } from '../bounds.ts';
import { noteMoved } from '../tuning/memory.ts';
import type { SocketReader } from '../io/socket-reader.ts';

/**
 * A source of the reader's data, with at most `hostLimits.streamReadBytes` and one read queued. A connection
 * reset counts as the end, since no more data can come.
 */
export function socketSource(reader: SocketReader): ByteSource {
  let isPaused = false;
  const queue = new ByteQueue(() => {
    if (!isPaused || queue.size >= hostLimits.streamReadBytes) return;
    isPaused = false;
    reader.resume();
  });
  reader.start(
    (bytes) => {
      noteMoved(bytes.length);
      queue.push(bytes.slice());
      if (isPaused || queue.size < hostLimits.streamReadBytes) return;
      isPaused = true;
      reader.pause();
    },
    () => queue.end(),
  );
  return {
    read: () => queue.read(),
    // read on and drop, so that the writer does not block
    cancel: () => {
      reader.unwanted();
      queue.cancel();
    },
  };
}

/**
 * A sink into the socket. Writes one piece at a time, since a socket keeps an object for each queued piece.
 * One caller at a time.
 */
export function socketSink(socket: Socket): ByteSink {
  return {
    async write(bytes: Uint8Array): Promise<void> {
      noteMoved(bytes.length);
      const error = await new Promise<Error | null | undefined>((resolve) => {
        if (socket.destroyed || socket.writableEnded) resolve(new Error('closed'));
        else socket.write(bytes, resolve);
      });
      if (error !== null && error !== undefined)
        fail('cancelled', 'write to a socket: the reader has closed it');
    },
    end(): void {
      if (!socket.destroyed) socket.end();
    },
  };
}
