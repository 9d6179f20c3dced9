/**
 * Attach: conmon copies a container's output to each connection on its attach socket, a packet at a time with the
 * stream's number in front, and blocks with all of the container when one of them is not read. So there is one
 * connection per container, always read, and each client has a bounded queue of its own (F75).
 *
 * The end of a connection's input closes the container's stdin where stdin_once was asked for: such a connection is
 * kept while no client with stdin has been there, and its input is ended with that client.
 */
import { closeSync, openSync } from 'node:fs';
import type { ClockPort } from '../../actors/ports/clock.ts';
import type { ContainerInput } from '../../actors/ports/runtime.ts';
import type { EffectContext } from '../../actors/ports/effect.ts';
import type { ClientStreams, TerminalSize } from '../../actors/ports/streams.ts';
import { ByteQueue } from '../../base/byte-streams.ts';
import type { ContainerId } from '../../base/ids.ts';
import { FaultError, fail, fault, toFault } from '../../base/fault.ts';
import { streamLimits } from '../../base/limits.ts';
import { KernelError, errnoName, must } from '../../host/errno.ts';
import { AF_UNIX, O_CLOEXEC, O_DIRECTORY, O_PATH, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_SEQPACKET } from '../../host/ffi-constants.ts';
import { callSync, libc } from '../../host/ffi.ts';
import { PolledDescriptor } from '../../host/polled-descriptor.ts';
import { pause, within } from '../../host/wait.ts';
import type { DriverParts } from './driver-parts.ts';
import { unixAddress } from './stream-console.ts';
import { OutputPump, ReadPace, drain, reasonOf } from './stream-output.ts';

/** First byte of a packet (conmon, src/utils.h). */
const STDOUT_PIPE = 2;
const STDERR_PIPE = 3;

/** What waits for all attached clients, of all containers (S85). */
export class AttachRoom {
  #bytes = 0;
  readonly #listeners = new Set<Listener>();

  /** Bytes that wait. */
  get size(): number {
    return this.#bytes;
  }

  join(listener: Listener): void {
    this.#listeners.add(listener);
  }

  leave(listener: Listener): void {
    this.#listeners.delete(listener);
  }

  taken(bytes: number): void {
    this.#bytes -= bytes;
  }

  /** Where too much waits in all, those who read least make room: one that keeps up loses nothing by them. */
  came(bytes: number): void {
    this.#bytes += bytes;
    while (this.#bytes > streamLimits.attachAllBytes) {
      let slowest: Listener | undefined;
      for (const one of this.#listeners) if (slowest === undefined || one.waiting > slowest.waiting) slowest = one;
      if (slowest === undefined) return;
      slowest.drop(`${streamLimits.attachAllBytes} bytes wait for clients like it`);
    }
  }
}

/** What a hub gives to one client. */
export class Listener {
  readonly stdout: ByteQueue;
  readonly stderr: ByteQueue;
  readonly #room: AttachRoom;
  readonly #id: ContainerId;
  /** Rejects when the client is too slow. */
  readonly dropped: Promise<never>;
  /** When no more output will come. */
  readonly ended: Promise<void>;
  #refuse: (error: Error) => void = () => undefined;
  #isDropped = false;
  #end: () => void = () => undefined;

  constructor(room: AttachRoom, id: ContainerId) {
    this.#room = room;
    this.#id = id;
    const taken = (bytes: number): void => room.taken(bytes);
    this.stdout = new ByteQueue(taken);
    this.stderr = new ByteQueue(taken);
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    this.dropped = new Promise((_resolve, reject) => {
      this.#refuse = reject;
    });
    this.dropped.catch(() => undefined);
    room.join(this);
  }

  /** Bytes that wait for the client. */
  get waiting(): number {
    return this.stdout.size + this.stderr.size;
  }

  /** False when it has to go. */
  push(pipe: number, bytes: Uint8Array): boolean {
    if (pipe === STDOUT_PIPE || pipe === STDERR_PIPE) {
      this.#room.came(bytes.length);
      (pipe === STDOUT_PIPE ? this.stdout : this.stderr).push(bytes);
    }
    if (this.waiting > streamLimits.attachBytes) this.drop(`${streamLimits.attachBytes} bytes wait for it`);
    return !this.#isDropped;
  }

  /** Its attach ends with this reason; what waits is given up at once. */
  drop(reason: string): void {
    this.#isDropped = true;
    const message = `attach to container ${this.#id}: the client reads too slowly, ${reason}`;
    this.#refuse(new FaultError(fault('exhausted', message, { subject: this.#id })));
    this.leave();
  }

  end(): void {
    this.stdout.end();
    this.stderr.end();
    this.#end();
  }

  /** Nobody reads it any more. */
  leave(): void {
    this.end();
    this.stdout.cancel();
    this.stderr.cancel();
    this.#room.leave(this);
  }
}

/** The one connection to a container's monitor. */
class Hub {
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

  constructor({ id, spec }: Pick<ContainerInput, 'id' | 'spec'>, socket: PolledDescriptor, clock: ClockPort, room: AttachRoom) {
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

/** Who has a container's terminal, and its stdin behind the monitor's. */
export interface Terminals {
  resize(input: ContainerInput, size: TerminalSize): Promise<void>;
  /** The monitor has been told that no more stdin will come. */
  stdinEnded(input: ContainerInput): void;
}

/** The attached clients of all containers. */
export class Attachments {
  readonly #parts: DriverParts;
  readonly #terminals: Terminals;
  readonly #hubs = new Map<ContainerId, Promise<Hub>>();
  readonly #room = new AttachRoom();

  constructor(parts: DriverParts, terminals: Terminals) {
    this.#parts = parts;
    this.#terminals = terminals;
  }

  /** As `StreamsPort.attach`. */
  async attach(input: ContainerInput, client: ClientStreams, fx: EffectContext): Promise<void> {
    fx.note({ on: 'the attach socket of the monitor' });
    const hub = await this.#hub(input, fx.signal);
    const listener = hub.listen();
    try {
      await new Attachment({ parts: this.#parts, terminals: this.#terminals, input, client, fx }).run(hub, listener);
    } finally {
      listener.leave();
      client.stdin?.cancel();
      if (client.stdin !== undefined && !input.spec.tty) this.#endStdin(hub, input);
      hub.leave(listener);
    }
  }

  #endStdin(hub: Hub, input: ContainerInput): void {
    if (hub.endStdin()) this.#terminals.stdinEnded(input);
  }

  /** Ends all connections; containers go on. */
  close(): void {
    for (const hub of this.#hubs.values()) void hub.then((one) => one.close()).catch(() => undefined);
    this.#hubs.clear();
  }

  async #hub(input: ContainerInput, signal: AbortSignal): Promise<Hub> {
    const { id } = input;
    for (let known = this.#hubs.get(id); known !== undefined; known = this.#hubs.get(id)) {
      // one that was not opened may have been given up with the client that it was opened for
      const hub = await known.catch(() => undefined);
      if (hub?.hasEnded === false) return hub;
      if (this.#hubs.get(id) === known) this.#hubs.delete(id);
    }
    const opening = connectMonitor(this.#parts, id, signal).then((fd) => {
      const name = `the attach socket of container ${id}`;
      return new Hub(input, new PolledDescriptor(fd, name, streamLimits.attachPacketBytes), this.#parts.clock, this.#room);
    });
    this.#hubs.set(id, opening);
    const forget = (): void => {
      if (this.#hubs.get(id) === opening) this.#hubs.delete(id);
    };
    opening.then((hub) => hub.ended).then(forget, forget);
    return opening;
  }
}

interface Stay {
  readonly parts: DriverParts;
  readonly terminals: Terminals;
  readonly input: ContainerInput;
  readonly client: ClientStreams;
  readonly fx: EffectContext;
}

/** One client's stay. */
class Attachment {
  readonly #parts: DriverParts;
  readonly #terminals: Terminals;
  readonly #input: ContainerInput;
  readonly #client: ClientStreams;
  readonly #fx: EffectContext;

  constructor({ parts, terminals, input, client, fx }: Stay) {
    this.#parts = parts;
    this.#terminals = terminals;
    this.#input = input;
    this.#client = client;
    this.#fx = fx;
  }

  async run(hub: Hub, listener: Listener): Promise<void> {
    const { clock } = this.#parts;
    const { stdout, stderr, stdin } = this.#client;
    const { signal } = this.#fx;
    const pumps: OutputPump[] = [];
    for (const [queue, sink] of [[listener.stdout, stdout], [listener.stderr, stderr]] as const) {
      if (sink === undefined) queue.cancel();
      else pumps.push(new OutputPump(queue, sink, clock, true));
    }
    if (this.#input.spec.tty) this.#client.onResize((size) => this.#resize(size));
    const finished = listener.ended.then(() => Promise.all(pumps.map((pump) => pump.ended)));
    const ends: Promise<unknown>[] = [finished, listener.dropped];
    if (stdin !== undefined) ends.push(this.#copyStdin(hub, stdin).then(() => drain(pumps, clock, signal)));
    const met = await within({ clock, timeoutMs: this.#fx.timeoutMs, signal }, Promise.race(ends));
    if (met === 'cancelled') fail('cancelled', `attach to container ${this.#input.id}: ${reasonOf(signal)}`, { subject: this.#input.id });
    if (met === 'timedOut') fail('timedOut', `attach to container ${this.#input.id}: open for too long`, { subject: this.#input.id });
  }

  /** Settles when the client has ended its stdin and that is its end: with a terminal or stdin_once it stays for the output. */
  async #copyStdin(hub: Hub, stdin: NonNullable<ClientStreams['stdin']>): Promise<void> {
    const { spec } = this.#input;
    try {
      for (;;) {
        const bytes = await stdin.read();
        if (bytes === undefined) break;
        // without stdin the container reads from /dev/null: what comes is dropped
        if (spec.stdin) await hub.write(bytes);
      }
    } catch {
      // the container does not take it any more, or the client has gone: the output, or the signal, tells the end
      return forever();
    }
    if (!spec.tty && hub.endStdin()) this.#terminals.stdinEnded(this.#input);
    if (spec.tty || spec.stdinOnce) return forever();
  }

  #resize(size: TerminalSize): Promise<void> {
    const { log } = this.#parts;
    return this.#terminals.resize(this.#input, size).catch((error: unknown) => {
      log.debug({ id: this.#input.id, fault: toFault(error) }, 'a terminal was not resized');
    });
  }
}

function forever(): Promise<never> {
  return new Promise(() => undefined);
}

/**
 * A connection to the monitor's socket. It is named through a descriptor of its directory: the whole path has more
 * bytes than fit into an address. Throws `wrongState` when no monitor listens.
 */
async function connectMonitor(parts: DriverParts, id: ContainerId, signal: AbortSignal): Promise<number> {
  const attempted = `attach to container ${id}`;
  const directory = openSync(parts.layout.bundleDir(id), O_PATH | O_DIRECTORY | O_CLOEXEC);
  let fd: number | undefined;
  try {
    const address = unixAddress(`/proc/self/fd/${directory}/attach`);
    for (let attempt = 0; attempt < streamLimits.attachAttempts; attempt += 1) {
      fd ??= must(callSync(libc.socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), 'make a socket to', id);
      const { result, errno } = callSync(libc.connect, fd, address, address.length);
      if (result === 0) {
        const connected = fd;
        fd = undefined;
        return connected;
      }
      const code = errnoName(errno);
      if (code === 'ENOENT' || code === 'ECONNREFUSED') fail('wrongState', `${attempted}: its monitor does not listen`, { subject: id });
      if (code !== 'EAGAIN' && code !== 'EINTR') throw new KernelError(attempted, errno, id);
      await pause(parts.clock, streamLimits.attachAttemptMs, signal);
    }
    return fail('exhausted', `${attempted}: its monitor's queue stays full`, { subject: id });
  } finally {
    closeSync(directory);
    if (fd !== undefined) closeSync(fd);
  }
}
