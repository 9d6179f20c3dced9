/**
 * The terminal of an exec. The runtime makes the pseudo-terminal inside the container and sends its master over a
 * Unix socket given by --console-socket (OCI runtime command line). The socket is libc's, since Node cannot receive
 * descriptors. It has a directory of its own with a short path: that of a container exceeds the 107 bytes of a socket
 * address.
 */
import { closeSync, fstatSync } from 'node:fs';
import { mkdir, rm, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { ClockPort } from '../../../ports/clock.ts';
import type { EffectContext } from '../../../ports/effect.ts';
import type { ClientStreams, TerminalSize } from '../../../ports/streams.ts';
import { fail } from '../../../base/fault.ts';
import { driverLimits } from '../bounds.ts';
import { errnoName, must } from '../../../host/ffi/errno.ts';
import {
  AF_UNIX,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  TIOCSWINSZ,
} from '../../../host/ffi/constants.ts';
import { callSync, libc } from '../../../host/ffi/ffi.ts';
import { closeAll, receiveMessage } from '../../../host/io/descriptor-message.ts';
import { pollReadable } from '../../../host/io/poll.ts';
import type { Poll } from '../../../host/io/poll.ts';
import { unixAddress } from '../../../host/io/unix-address.ts';
import { within } from '../../../host/clock/wait.ts';

/** Device number of every pseudo-terminal master: /dev/ptmx, 5:2 (Documentation/admin-guide/devices.txt). */
const PTMX = (5 << 8) | 2;

/** Listens for one pseudo-terminal master. */
export class ConsoleSocket {
  readonly path: string;
  /**
   * The master's descriptor, owned by whoever awaits it. Rejects when something else was received; never settles when
   * nothing was.
   */
  readonly master: Promise<number>;
  readonly #open = new Map<number, Poll | undefined>();
  #settle: { readonly resolve: (fd: number) => void; readonly reject: (error: Error) => void } | undefined;

  private constructor(path: string, listener: number) {
    this.path = path;
    this.master = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    // when the runtime fails earlier, nobody awaits this promise
    this.master.catch(() => undefined);
    this.#watch(listener, () => this.#accept(listener));
  }

  /** Listens on a new socket in `directory`, which is made if absent. `name` is short and used only once. */
  static async listen(directory: string, name: string): Promise<ConsoleSocket> {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const path = join(directory, name);
    const address = unixAddress(path);
    const fd = must(
      callSync(libc.socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0),
      'make socket',
      path,
    );
    try {
      must(callSync(libc.bind, fd, address, address.length), 'bind socket', path);
      must(callSync(libc.listen, fd, 1), 'listen on socket', path);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    return new ConsoleSocket(path, fd);
  }

  #watch(fd: number, onReadable: () => void): void {
    this.#open.set(fd, pollReadable(fd, onReadable));
  }

  #drop(fd: number): void {
    if (!this.#open.has(fd)) return;
    this.#open.get(fd)?.close();
    this.#open.delete(fd);
    closeSync(fd);
  }

  #accept(listener: number): void {
    const { result } = callSync(libc.accept4, listener, null, null, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (result < 0) return;
    // one exec, one terminal: later connections are refused
    this.#drop(listener);
    this.#watch(result, () => this.#receive(result));
  }

  #receive(connection: number): void {
    const { fds, errno } = receiveMessage(connection);
    if (errno !== 0 && errnoName(errno) === 'EAGAIN') return;
    this.#drop(connection);
    const [master, ...others] = fds;
    closeAll(others);
    if (master === undefined) return this.#refuse('the runtime sent no terminal');
    const stat = fstatSync(master);
    if (!stat.isCharacterDevice() || stat.rdev !== PTMX) {
      closeSync(master);
      return this.#refuse('the descriptor that the runtime sent is not a terminal');
    }
    const settle = this.#settle;
    this.#settle = undefined;
    if (settle === undefined) closeSync(master);
    else settle.resolve(master);
  }

  #refuse(reason: string): void {
    try {
      fail('outside', `receive a terminal at ${this.path}: ${reason}`, { subject: this.path });
    } catch (error) {
      if (error instanceof Error) this.#settle?.reject(error);
    }
  }

  /** Stops listening and removes the socket. A master already received stays open. */
  async close(): Promise<void> {
    this.#settle = undefined;
    for (const fd of [...this.#open.keys()]) this.#drop(fd);
    await unlink(this.path).catch(() => undefined);
  }
}

/** Removes the sockets of an earlier daemon. */
export async function clearConsoles(directory: string): Promise<void> {
  await rm(directory, { recursive: true, force: true });
}

/**
 * The client's terminal size, if it arrives within `driverLimits.firstSizeMs`. It is then set before the process
 * starts.
 */
export async function firstSize(
  clock: ClockPort,
  client: ClientStreams,
  { signal }: EffectContext,
): Promise<TerminalSize | undefined> {
  let latest: TerminalSize | undefined;
  const came = new Promise<void>((resolve) => {
    client.onResize((size) => {
      latest = size;
      resolve();
    });
  });
  await within({ clock, timeoutMs: driverLimits.firstSizeMs, signal }, came);
  return latest;
}

/** Sets the terminal size; the foreground process group gets SIGWINCH. Errors of a closed terminal are ignored. */
export function setTerminalSize(master: number, { columns, rows }: TerminalSize): void {
  const size = Buffer.alloc(8);
  size.writeUInt16LE(rows, 0);
  size.writeUInt16LE(columns, 2);
  callSync(libc.ioctl, master, TIOCSWINSZ, size);
}
