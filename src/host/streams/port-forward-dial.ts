/**
 * Connects to a port of a pod, mostly on its loopback. Only the socket is created inside the pod's network namespace,
 * by the thread that enters it for that one call: a socket stays in the namespace where it was created. No process is
 * started.
 */
import { closeSync } from 'node:fs';
import { isIP } from 'node:net';
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
  /** Addresses of the pod that are dialled from the host after its loopback, for a guest with a kernel of its own. */
  readonly guestAddresses: readonly string[];
  /** Owner of the port, for messages. */
  readonly subject: string;
}

const TYPE = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;

interface Target {
  /** Where its socket is created; undefined for the host's namespace. */
  readonly netns: string | undefined;
  readonly address: string;
}

/** Tries 127.0.0.1, then ::1, then the guest's addresses. Rejects with `outside` when nothing listens on any. */
export async function dialPort(
  request: DialRequest,
  clock: ClockPort,
  signal: AbortSignal,
): Promise<PortConnection> {
  const { netns, port, subject, guestAddresses } = request;
  const targets: readonly Target[] = [
    ...['127.0.0.1', '::1'].map((address) => ({ netns, address })),
    ...guestAddresses
      .filter((address) => isIP(address) !== 0)
      .map((address) => ({ netns: undefined, address })),
  ];
  const reasons: string[] = [];
  for (const target of targets) {
    signal.throwIfAborted();
    try {
      return asConnection(await dial(target, port, clock, signal));
    } catch (error) {
      if (signal.aborted) throw error;
      reasons.push(toFault(error).message);
    }
  }
  return fail('outside', `connect to port ${port} of ${subject}: ${reasons.join('; ')}`, { subject });
}

async function dial(
  { netns, address }: Target,
  port: number,
  clock: ClockPort,
  signal: AbortSignal,
): Promise<SocketReader> {
  const isV4 = isIP(address) === 4;
  const family = isV4 ? AF_INET : AF_INET6;
  const name = isV4 ? `${address}:${port}` : `[${address}]:${port}`;
  const fd =
    netns === undefined
      ? must(callSync(libc.socket, family, TYPE, 0), 'create a socket to', name)
      : await socketInNamespace(netns, family, TYPE, clock);
  try {
    const socketAddress = isV4 ? addressV4(address, port) : addressV6(address, port);
    const { result, errno } = callSync(libc.connect, fd, socketAddress, socketAddress.length);
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

/** struct sockaddr_in: family in the machine's byte order, port in network byte order, then the address. */
export function addressV4(address: string, port: number): Uint8Array {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt16LE(AF_INET, 0);
  bytes.writeUInt16BE(port, 2);
  bytes.set(address.split('.').map(Number), 4);
  return bytes;
}

/** struct sockaddr_in6: as above, with the flow label between port and address. */
export function addressV6(address: string, port: number): Uint8Array {
  const bytes = Buffer.alloc(28);
  bytes.writeUInt16LE(AF_INET6, 0);
  bytes.writeUInt16BE(port, 2);
  // the URL parser writes an IPv4 tail as two groups
  const [head = '', tail] = new URL(`http://[${address}]/`).hostname.slice(1, -1).split('::');
  const groups = (text: string): string[] => text.split(':').filter((group) => group !== '');
  for (const [at, group] of groups(head).entries())
    bytes.writeUInt16BE(Number.parseInt(group, 16), 8 + 2 * at);
  const end = groups(tail ?? '');
  for (const [at, group] of end.entries())
    bytes.writeUInt16BE(Number.parseInt(group, 16), 24 - 2 * (end.length - at));
  return bytes;
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
