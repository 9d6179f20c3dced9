/** The connection to a container's attach socket, shared by all attached clients. */
import { closeSync, openSync } from 'node:fs';
import type { ClockPort } from '../../../ports/clock.ts';
import type { ContainerInput } from '../../../ports/runtime.ts';
import type { ContainerId } from '../../../base/ids.ts';
import { fail } from '../../../base/fault.ts';
import { driverLimits } from '../bounds.ts';
import { KernelError, errnoName, must } from '../../../host/ffi/errno.ts';
import {
  AF_UNIX,
  O_CLOEXEC,
  O_DIRECTORY,
  O_PATH,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_SEQPACKET,
} from '../../../host/ffi/constants.ts';
import { callSync, libc } from '../../../host/ffi/ffi.ts';
import type { PolledDescriptor } from '../../../host/io/polled-descriptor.ts';
import { pause } from '../../../host/clock/wait.ts';
import type { DriverParts } from '../container/parts.ts';
import { unixAddress } from '../../../host/io/unix-address.ts';
import { AttachListener } from './stream-listeners.ts';
import type { AttachBudget } from './stream-listeners.ts';
import { ReadPace } from './stream-output.ts';

/** The connection, which the hub owns. */
export type MonitorConnection = Pick<PolledDescriptor, 'read' | 'write' | 'end' | 'close'>;

export class Hub {
  readonly #id: ContainerId;
  readonly #socket: MonitorConnection;
  readonly #stdinOnce: boolean;
  readonly #listeners = new Set<AttachListener>();
  readonly #pace: ReadPace;
  readonly #budget: AttachBudget;
  /** Resolves when the monitor has closed the connection: the container, or its output, has ended. */
  readonly ended: Promise<void>;
  #hasEnded = false;
  #isStdinOver = false;
  #writing: Promise<void> = Promise.resolve();

  constructor(
    { id, spec }: Pick<ContainerInput, 'id' | 'spec'>,
    socket: MonitorConnection,
    clock: ClockPort,
    budget: AttachBudget,
  ) {
    this.#id = id;
    this.#budget = budget;
    this.#socket = socket;
    this.#stdinOnce = spec.stdinOnce;
    this.#pace = new ReadPace(clock);
    this.ended = this.#readAll();
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  async #readAll(): Promise<void> {
    try {
      for (;;) {
        const packet = await this.#socket.read();
        if (packet === undefined) break;
        if (!this.#isNeeded()) break;
        const bytes = packet.subarray(1);
        for (const listener of [...this.#listeners]) {
          if (!listener.push(packet[0] ?? 0, bytes)) this.#listeners.delete(listener);
        }
        await this.#pace.next(this.#listeners.size === 0 ? 0 : bytes.length);
      }
    } catch {
      // a broken connection counts as closed: the container's exit is reported elsewhere
    }
    this.#hasEnded = true;
    this.#socket.close();
    for (const listener of this.#listeners) listener.end();
    this.#listeners.clear();
  }

  /**
   * Whether to keep the connection. False at the first output without a listener, not before: conmon 2.1.6 keeps its
   * end of a closed connection until it has output for it, so many attaches to a silent container would exhaust its
   * descriptors (S27).
   */
  #isNeeded(): boolean {
    return this.#listeners.size > 0 || (this.#stdinOnce && !this.#isStdinOver);
  }

  /**
   * Undefined where the connection has ended: without a listener it ends at the first output, which may come before the
   * client that has opened it listens.
   */
  listen(): AttachListener | undefined {
    if (this.#hasEnded) return undefined;
    const listener = new AttachListener(this.#budget, this.#id);
    this.#listeners.add(listener);
    return listener;
  }

  /** Writes in the order of the calls. Rejects once the monitor takes no more. */
  write(bytes: Uint8Array): Promise<void> {
    const written = this.#writing.then(() => this.#socket.write(bytes));
    this.#writing = written.catch(() => undefined);
    return written;
  }

  /** A client's stdin has ended or the client is gone. True if that ends the container's stdin. */
  endStdin(): boolean {
    if (!this.#stdinOnce || this.#isStdinOver) return false;
    this.#isStdinOver = true;
    void this.#writing.then(() => this.#socket.end());
    return true;
  }

  leave(listener: AttachListener): void {
    this.#listeners.delete(listener);
  }

  close(): void {
    this.#socket.close();
  }
}

/**
 * Connects to the monitor's attach socket. The address goes through a descriptor of its directory, since the full
 * path exceeds the length of a socket address. Throws `wrongState` when no monitor listens.
 */
export async function connectMonitor(
  parts: DriverParts,
  id: ContainerId,
  signal: AbortSignal,
): Promise<number> {
  const attempted = `attach to container ${id}`;
  const directory = openSync(parts.layout.bundleDir(id), O_PATH | O_DIRECTORY | O_CLOEXEC);
  let fd: number | undefined;
  try {
    const address = unixAddress(`/proc/self/fd/${directory}/attach`);
    for (let attempt = 0; attempt < driverLimits.attachAttempts; attempt += 1) {
      fd ??= must(
        callSync(libc.socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0),
        'make socket for',
        id,
      );
      const { result, errno } = callSync(libc.connect, fd, address, address.length);
      if (result === 0) {
        const connected = fd;
        fd = undefined;
        return connected;
      }
      const code = errnoName(errno);
      if (code === 'ENOENT' || code === 'ECONNREFUSED')
        fail('wrongState', `${attempted}: the monitor is not listening`, { subject: id });
      if (code !== 'EAGAIN' && code !== 'EINTR') throw new KernelError(attempted, errno, id);
      await pause(parts.clock, driverLimits.attachAttemptMs, signal);
    }
    return fail('exhausted', `${attempted}: the monitor's connection queue is full`, { subject: id });
  } finally {
    closeSync(directory);
    if (fd !== undefined) closeSync(fd);
  }
}
