/**
 * sd_notify(3): sends one datagram to the socket that systemd names. Node has no Unix datagrams, so libc is
 * called.
 */
import { fail } from '../../base/fault.ts';
import type { ClockPort } from '../../ports/clock.ts';
import { systemdLimits } from '../bounds.ts';
import { within } from '../clock/wait.ts';
import { AF_UNIX, MSG_NOSIGNAL, SOCK_CLOEXEC, SOCK_DGRAM } from '../ffi/constants.ts';
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
  const name = new TextEncoder().encode(path);
  if (name.length >= PATH_BYTES)
    fail('invalidRequest', `notify ${path}: path is longer than ${PATH_BYTES - 1} bytes`, { subject: path });
  const address = Buffer.alloc(2 + name.length);
  address.writeUInt16LE(AF_UNIX, 0);
  address.set(name, 2);
  if (path.startsWith('@')) address[2] = 0;
  const message = messageOf({ bytes: new TextEncoder().encode(state), fds, address });
  const socket = must(callSync(libc.socket, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), 'notify', path);
  try {
    // in the pool: it waits while systemd has not read what many services sent before
    must(await callInPool(path, libc.sendmsg, socket, message, MSG_NOSIGNAL), 'notify', path);
  } finally {
    closeFd(socket);
  }
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
