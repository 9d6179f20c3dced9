/** The one connection to a container's attach socket, which all its clients share. */
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
import { unixAddress } from './stream-console.ts';
import { Listener } from './stream-listeners.ts';
import type { AttachRoom } from './stream-listeners.ts';
import { ReadPace } from './stream-output.ts';

/** The one connection to a container's monitor. */
export class Hub {
  readonly #id: ContainerId;
  readonly #socket: PolledDescriptor;
  readonly #stdinOnce: boolean;
  readonly #listeners = new Set<Listener>();
  readonly #pace: ReadPace;
  readonly #room: AttachRoom;
  /** Resolves when the monitor has ended the connection: the container is gone, or its output is. */
  readonly ended: Promise<void>;
  #hasEnded = false;
  #isStdinOver = false;
  #writing: Promise<void> = Promise.resolve();

  constructor(
    { id, spec }: Pick<ContainerInput, 'id' | 'spec'>,
    socket: PolledDescriptor,
    clock: ClockPort,
    room: AttachRoom,
  ) {
    this.#id = id;
    this.#room = room;
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
      // a broken connection is an ended one: the exit is told by others
    }
    this.#hasEnded = true;
    this.#socket.close();
    for (const listener of this.#listeners) listener.end();
    this.#listeners.clear();
  }

  /**
   * False at the first output that nobody wants. Not before: conmon 2.1.6 keeps its end of a closed connection until
   * it has output for it, so that many attaches to a silent container would use up its descriptors (S27).
   */
  #isNeeded(): boolean {
    return this.#listeners.size > 0 || (this.#stdinOnce && !this.#isStdinOver);
  }

  listen(): Listener {
    const listener = new Listener(this.#room, this.#id);
    this.#listeners.add(listener);
    return listener;
  }

  /** In the order of the calls; rejects once the monitor takes no more. */
  write(bytes: Uint8Array): Promise<void> {
    const written = this.#writing.then(() => this.#socket.write(bytes));
    this.#writing = written.catch(() => undefined);
    return written;
  }

  /** A client with stdin has ended it, or has gone. True where that is the end of the container's. */
  endStdin(): boolean {
    if (!this.#stdinOnce || this.#isStdinOver) return false;
    this.#isStdinOver = true;
    void this.#writing.then(() => this.#socket.end());
    return true;
  }

  leave(listener: Listener): void {
    this.#listeners.delete(listener);
  }

  close(): void {
    this.#socket.close();
  }
}

/**
 * A connection to the monitor's socket. It is named through a descriptor of its directory: the whole path has more
 * bytes than fit into an address. Throws `wrongState` when no monitor listens.
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
        'make a socket to',
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
        fail('wrongState', `${attempted}: its monitor does not listen`, { subject: id });
      if (code !== 'EAGAIN' && code !== 'EINTR') throw new KernelError(attempted, errno, id);
      await pause(parts.clock, driverLimits.attachAttemptMs, signal);
    }
    return fail('exhausted', `${attempted}: its monitor's queue stays full`, { subject: id });
  } finally {
    closeSync(directory);
    if (fd !== undefined) closeSync(fd);
  }
}
