/**
 * sd_notify(3): sends one datagram to the socket that systemd names. Node has no Unix datagrams, so libc is
 * called.
 */
import { fail } from '../../base/fault.ts';
import type { ClockPort } from '../../ports/clock.ts';
import { systemdLimits } from '../bounds.ts';
import { within } from '../clock/wait.ts';
import { AF_UNIX, MSG_DONTWAIT, MSG_NOSIGNAL, SOCK_CLOEXEC, SOCK_DGRAM } from '../ffi/constants.ts';
import { must } from '../ffi/errno.ts';
import { callSync, libc } from '../ffi/ffi.ts';
import { callInPool } from '../ffi/pool.ts';
import { messageOf } from './descriptor-message.ts';
import { closeFd, makePipe } from './descriptors.ts';
import { pollBoth } from './poll.ts';

/** Bytes of sun_path in sockaddr_un (unix(7)). */
const PATH_BYTES = 108;

/**
 * Sends `state`, such as `READY=1`, and descriptors that systemd gets duplicates of. A leading `@` in the path
 * means the abstract namespace. Throws a KernelError.
 */
export async function notify(path: string, state: string, fds: readonly number[] = []): Promise<void> {
  const socket = datagramSocket(path);
  try {
    const message = notification(path, state, fds);
    // in the pool: it waits while systemd has not read what many services sent before
    must(await callInPool(path, libc.sendmsg, socket, message, MSG_NOSIGNAL), 'notify', path);
  } finally {
    closeFd(socket);
  }
}

/**
 * As `notify`, without a thread and without waiting: false when systemd has no room for it now. For what must be sent
 * while every thread of the pool waits for a disk.
 */
export function notifyNow(path: string, state: string): boolean {
  const socket = datagramSocket(path);
  try {
    const message = notification(path, state, []);
    return callSync(libc.sendmsg, socket, message, MSG_NOSIGNAL | MSG_DONTWAIT).result !== -1;
  } finally {
    closeFd(socket);
  }
}

function datagramSocket(path: string): number {
  return must(callSync(libc.socket, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), 'notify', path);
}

function notification(path: string, state: string, fds: readonly number[]): Buffer {
  const name = new TextEncoder().encode(path);
  if (name.length >= PATH_BYTES)
    fail('invalidRequest', `notify ${path}: path is longer than ${PATH_BYTES - 1} bytes`, { subject: path });
  const address = Buffer.alloc(2 + name.length);
  address.writeUInt16LE(AF_UNIX, 0);
  address.set(name, 2);
  if (path.startsWith('@')) address[2] = 0;
  return messageOf({ bytes: new TextEncoder().encode(state), fds, address });
}

/** Waits until systemd has acted on everything that was sent before (sd_notify_barrier(3)); at most `barrierMs`. */
export async function notifyBarrier(path: string, clock: ClockPort): Promise<void> {
  const { read, write } = makePipe();
  const ended = Promise.withResolvers<void>();
  const poll = pollBoth(read);
  // systemd closes what it got, and the pipe is then without a writer
  poll.onceReadable(ended.resolve);
  try {
    await notify(path, 'BARRIER=1', [write]).finally(() => closeFd(write));
    await within({ clock, timeoutMs: systemdLimits.barrierMs }, ended.promise);
  } finally {
    poll.close();
    closeFd(read);
  }
}
