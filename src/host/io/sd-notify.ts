/**
 * sd_notify(3): sends one datagram to the socket that systemd names. Node has no Unix datagrams, so libc is
 * called.
 */
import { fail } from '../../base/fault.ts';
import { closeFd } from './descriptors.ts';
import { must } from '../ffi/errno.ts';
import { libc } from '../ffi/ffi.ts';
import { callInPool } from '../ffi/pool.ts';

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
/** Bytes of sun_path in sockaddr_un (unix(7)). */
const PATH_BYTES = 108;

/**
 * Sends `state`, such as `READY=1`. A leading `@` in the path means the abstract namespace. Throws a
 * KernelError.
 */
export async function notify(path: string, state: string): Promise<void> {
  const name = new TextEncoder().encode(path);
  if (name.length >= PATH_BYTES)
    fail('invalidRequest', `notify ${path}: path is longer than ${PATH_BYTES - 1} bytes`, { subject: path });
  const address = new Uint8Array(2 + PATH_BYTES);
  new DataView(address.buffer).setUint16(0, AF_UNIX, true);
  address.set(name, 2);
  if (path.startsWith('@')) address[2] = 0;
  const fd = must(await callInPool(path, libc.socket, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), 'notify', path);
  try {
    const bytes = new TextEncoder().encode(state);
    const sent = await callInPool(path, libc.sendto, fd, bytes, bytes.length, 0, address, 2 + name.length);
    must(sent, 'notify', path);
  } finally {
    closeFd(fd);
  }
}
