/** Node's sockets and pipes as sources and sinks of bytes. */
import type { Socket } from 'node:net';
import type { ByteSink, ByteSource } from '../base/byte-streams.ts';
import { fail } from '../base/fault.ts';
import { noteMoved } from './memory.ts';

/** What the socket brings. A reset counts as the end: the bytes before it were all there are. */
export function socketSource(socket: Socket): ByteSource {
  let wake: (() => void) | undefined;
  let hasEnded = false;
  const onReady = (): void => wake?.();
  const onEnd = (): void => {
    hasEnded = true;
    wake?.();
  };
  socket.on('readable', onReady);
  socket.on('end', onEnd);
  socket.on('close', onEnd);
  socket.on('error', onEnd);
  return {
    async read(): Promise<Uint8Array | undefined> {
      for (;;) {
        const bytes = socket.read() as Buffer | null;
        if (bytes !== null) {
          noteMoved(bytes.length);
          return bytes;
        }
        if (hasEnded || socket.destroyed) return undefined;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
        wake = undefined;
      }
    },
    cancel(): void {
      socket.off('readable', onReady);
      // what still comes is read and dropped, so that its writer never blocks on us
      socket.resume();
    },
  };
}

/** What goes into the socket. */
export function socketSink(socket: Socket): ByteSink {
  let wake: (() => void) | undefined;
  let isBroken = false;
  socket.on('drain', () => wake?.());
  const onBroken = (): void => {
    isBroken = true;
    wake?.();
  };
  socket.on('close', onBroken);
  socket.on('error', onBroken);
  return {
    async write(bytes: Uint8Array): Promise<void> {
      if (isBroken || socket.destroyed || socket.writableEnded) fail('cancelled', 'write to a socket: its reader has gone');
      noteMoved(bytes.length);
      if (socket.write(bytes)) return;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
      wake = undefined;
      if (isBroken) fail('cancelled', 'write to a socket: its reader has gone');
    },
    end(): void {
      if (!isBroken && !socket.destroyed) socket.end();
    },
  };
}
