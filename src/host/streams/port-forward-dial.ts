/**
 * Connects to a port on a pod's loopback. Only the socket is created inside the pod's network namespace, by
 * the thread that enters it for that one call: a socket stays in the namespace where it was created. No
 * process is started.
 */
import { closeSync } from 'node:fs';
import type { ClockPort } from '../../ports/clock.ts';
import type { PortConnection } from '../../ports/streams.ts';
import { onAbort } from '../../base/abort.ts';
import { FaultError, fail, fault, toFault } from '../../base/fault.ts';
import { portLimits } from '../../ports/bounds.ts';
import { KernelError, errnoName, must } from '../ffi/errno.ts';
import {
  AF_INET,
  AF_INET6,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
  SO_ERROR,
} from '../ffi/constants.ts';
import { callSync, libc } from '../ffi/ffi.ts';
import { socketInNamespace } from '../namespaces/namespaces.ts';
import { pollBoth } from '../io/poll.ts';
import { socketSink, socketSource } from './socket-bytes.ts';
import { SocketReader } from '../io/socket-reader.ts';

export interface DialRequest {
  /** Path of the pinned network namespace; undefined for the host's. */
  readonly netns: string | undefined;
  /** 1 to 65535. */
  readonly port: number;
  /** Owner of the port, for messages. */
  readonly subject: string;
}

const TYPE = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;

/** Tries 127.0.0.1, then ::1. Rejects with `outside` when nothing listens on either. */
export async function dialPort(
  request: DialRequest,
  clock: ClockPort,
  signal: AbortSignal,
): Promise<PortConnection> {
  const { port, subject } = request;
  const reasons: string[] = [];
  for (const family of [AF_INET, AF_INET6]) {
    signal.throwIfAborted();
    try {
      return asConnection(await dial(request, family, clock, signal));
    } catch (error) {
      if (signal.aborted) throw error;
      reasons.push(toFault(error).message);
    }
  }
  return fail('outside', `connect to port ${port} of ${subject}: ${reasons.join('; ')}`, { subject });
}

async function dial(
  { netns, port }: DialRequest,
  family: number,
  clock: ClockPort,
  signal: AbortSignal,
): Promise<SocketReader> {
  const name = family === AF_INET ? `127.0.0.1:${port}` : `[::1]:${port}`;
  const fd =
    netns === undefined
      ? must(callSync(libc.socket, family, TYPE, 0), 'create a socket to', name)
      : await socketInNamespace(netns, family, TYPE, clock);
  try {
    const address = loopback(family, port);
    const { result, errno } = callSync(libc.connect, fd, address, address.length);
    if (result === -1) {
      if (errnoName(errno) !== 'EINPROGRESS') throw new KernelError(name, errno, name);
      await connected(fd, name, clock, signal);
    }
    return new SocketReader(fd, true);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/**
 * struct sockaddr_in and sockaddr_in6: family in the machine's byte order, port in network byte order, then
 * the address.
 */
function loopback(family: number, port: number): Uint8Array {
  const address = Buffer.alloc(family === AF_INET ? 16 : 28);
  address.writeUInt16LE(family, 0);
  address.writeUInt16BE(port, 2);
  if (family === AF_INET) address.writeUInt32BE(0x7f000001, 4);
  else address[23] = 1;
  return address;
}

/** Settles when the handshake is done: on loopback at once, unless the listener's queue is full. */
async function connected(fd: number, name: string, clock: ClockPort, signal: AbortSignal): Promise<void> {
  const poll = pollBoth(fd);
  let cleanUp = (): void => undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      const timer = clock.setTimeout(
        () =>
          reject(
            new FaultError(
              fault(
                'timedOut',
                `${name}: timed out after ${portLimits.dialMs} ms waiting for the connection`,
              ),
            ),
          ),
        portLimits.dialMs,
      );
      const stopListening = onAbort(signal, () =>
        reject(new FaultError(fault('cancelled', `${name}: cancelled by the client`))),
      );
      cleanUp = (): void => {
        clock.clearTimeout(timer);
        stopListening();
      };
      poll.onceWritable(resolve);
    });
  } finally {
    cleanUp();
    poll.close();
  }
  const [value, length] = [Buffer.alloc(4), Buffer.from([4, 0, 0, 0])];
  must(callSync(libc.getsockopt, fd, SOL_SOCKET, SO_ERROR, value, length), 'connect to', name);
  if (value.readInt32LE(0) !== 0) throw new KernelError(name, value.readInt32LE(0), name);
}

function asConnection(reader: SocketReader): PortConnection {
  const { socket } = reader;
  socket.setNoDelay(true);
  return { source: socketSource(reader), sink: socketSink(socket), close: () => socket.destroy() };
}
