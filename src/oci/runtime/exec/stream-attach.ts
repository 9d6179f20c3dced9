/**
 * Attach: conmon copies a container's output to each connection on its attach socket, a packet at a time with the
 * stream's number in front, and blocks with all of the container when one of them is not read. So there is one
 * connection per container, always read, and each client has a bounded queue of its own (F75).
 *
 * The end of a connection's input closes the container's stdin where stdin_once was asked for: such a connection is
 * kept while no client with stdin has been there, and its input is ended with that client.
 */
import type { ContainerInput } from '../../../ports/runtime.ts';
import type { EffectContext } from '../../../ports/effect.ts';
import type { ClientStreams, TerminalSize } from '../../../ports/streams.ts';
import type { ContainerId } from '../../../base/ids.ts';
import { fail, toFault } from '../../../base/fault.ts';
import { driverLimits } from '../bounds.ts';
import { PolledDescriptor } from '../../../host/io/polled-descriptor.ts';
import { within } from '../../../host/clock/wait.ts';
import type { DriverParts } from '../container/parts.ts';
import { Hub, connectMonitor } from './stream-hub.ts';
import { AttachRoom } from './stream-listeners.ts';
import type { Listener } from './stream-listeners.ts';
import { OutputPump, drain, reasonOf } from './stream-output.ts';

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
      await new Attachment({ parts: this.#parts, terminals: this.#terminals, input, client, fx }).run(
        hub,
        listener,
      );
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
      return new Hub(
        input,
        new PolledDescriptor(fd, name, driverLimits.attachPacketBytes),
        this.#parts.clock,
        this.#room,
      );
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
    for (const [queue, sink] of [
      [listener.stdout, stdout],
      [listener.stderr, stderr],
    ] as const) {
      if (sink === undefined) queue.cancel();
      else pumps.push(new OutputPump(queue, sink, clock, true));
    }
    if (this.#input.spec.tty) this.#client.onResize((size) => this.#resize(size));
    const finished = listener.ended.then(() => Promise.all(pumps.map((pump) => pump.ended)));
    const ends: Promise<unknown>[] = [finished, listener.dropped];
    if (stdin !== undefined) ends.push(this.#copyStdin(hub, stdin).then(() => drain(pumps, clock, signal)));
    const met = await within({ clock, timeoutMs: this.#fx.timeoutMs, signal }, Promise.race(ends));
    if (met === 'cancelled')
      fail('cancelled', `attach to container ${this.#input.id}: ${reasonOf(signal)}`, {
        subject: this.#input.id,
      });
    if (met === 'timedOut')
      fail('timedOut', `attach to container ${this.#input.id}: open for too long`, {
        subject: this.#input.id,
      });
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
