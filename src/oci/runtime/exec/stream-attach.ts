/**
 * Attach. conmon copies the container's output to every connection on its attach socket, one packet at a time with
 * the stream's number in front. It blocks, and the container with it, when one connection is not read. So the daemon
 * opens one connection per container and always reads it, and each client has a bounded queue of its own (F75).
 * Where stdin_once is set, closing the connection for writing closes the container's stdin. Such a connection stays
 * open until the first client with stdin has ended its input.
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
import { AttachBudget } from './stream-listeners.ts';
import type { AttachListener } from './stream-listeners.ts';
import { OutputPump, drain, reasonOf } from './stream-output.ts';

/** Access to a container's terminal size, and to its stdin beyond the monitor. */
export interface Terminals {
  resize(input: ContainerInput, size: TerminalSize): Promise<void>;
  /** The monitor's stdin connection was shut down: no more stdin will come. */
  stdinEnded(input: ContainerInput): void;
}

/** The attached clients of all containers. */
export class AttachClients {
  readonly #parts: DriverParts;
  readonly #terminals: Terminals;
  readonly #hubs = new Map<ContainerId, Promise<Hub>>();
  readonly #budget = new AttachBudget();

  constructor(parts: DriverParts, terminals: Terminals) {
    this.#parts = parts;
    this.#terminals = terminals;
  }

  /** See `StreamsPort.attach`. */
  async attach(input: ContainerInput, client: ClientStreams, fx: EffectContext): Promise<void> {
    fx.note({ on: 'the attach socket of the monitor' });
    const { hub, listener } = await this.#listen(input, fx.signal);
    try {
      await new AttachClient({ parts: this.#parts, terminals: this.#terminals, input, client, fx }).run(
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

  /** Connects again where the connection ended before the client could listen. */
  async #listen(
    input: ContainerInput,
    signal: AbortSignal,
  ): Promise<{ readonly hub: Hub; readonly listener: AttachListener }> {
    for (let attempt = 0; attempt < driverLimits.attachAttempts; attempt += 1) {
      const hub = await this.#hub(input, signal);
      const listener = hub.listen();
      if (listener !== undefined) return { hub, listener };
    }
    return fail('outside', `attach to container ${input.id}: the monitor closes each connection`, {
      subject: input.id,
    });
  }

  #endStdin(hub: Hub, input: ContainerInput): void {
    if (hub.endStdin()) this.#terminals.stdinEnded(input);
  }

  /** Closes all connections; the containers go on. */
  close(): void {
    for (const hub of this.#hubs.values()) void hub.then((one) => one.close()).catch(() => undefined);
    this.#hubs.clear();
  }

  async #hub(input: ContainerInput, signal: AbortSignal): Promise<Hub> {
    const { id } = input;
    for (let known = this.#hubs.get(id); known !== undefined; known = this.#hubs.get(id)) {
      // an open that failed may have been cancelled with its own client: open again for this one
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
        this.#budget,
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

interface AttachmentInput {
  readonly parts: DriverParts;
  readonly terminals: Terminals;
  readonly input: ContainerInput;
  readonly client: ClientStreams;
  readonly fx: EffectContext;
}

/** One client of a container's attach connection. */
class AttachClient {
  readonly #parts: DriverParts;
  readonly #terminals: Terminals;
  readonly #input: ContainerInput;
  readonly #client: ClientStreams;
  readonly #fx: EffectContext;

  constructor({ parts, terminals, input, client, fx }: AttachmentInput) {
    this.#parts = parts;
    this.#terminals = terminals;
    this.#input = input;
    this.#client = client;
    this.#fx = fx;
  }

  async run(hub: Hub, listener: AttachListener): Promise<void> {
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
      fail('timedOut', `attach to container ${this.#input.id}: timed out after ${this.#fx.timeoutMs} ms`, {
        subject: this.#input.id,
      });
  }

  /**
   * Settles when the client's stdin has ended and its attach ends with it. With a terminal or stdin_once the client
   * stays attached for the output.
   */
  async #copyStdin(hub: Hub, stdin: NonNullable<ClientStreams['stdin']>): Promise<void> {
    const { spec } = this.#input;
    try {
      for (;;) {
        const bytes = await stdin.read();
        if (bytes === undefined) break;
        // a container without stdin reads from /dev/null: the input is dropped
        if (spec.stdin) await hub.write(bytes);
      }
    } catch {
      // the container's stdin is closed, or the client is gone: the output or the abort signal ends the attach
      return forever();
    }
    if (!spec.tty && hub.endStdin()) this.#terminals.stdinEnded(this.#input);
    if (spec.tty || spec.stdinOnce) return forever();
  }

  #resize(size: TerminalSize): Promise<void> {
    const { log } = this.#parts;
    return this.#terminals.resize(this.#input, size).catch((error: unknown) => {
      log.debug({ id: this.#input.id, fault: toFault(error) }, 'resize terminal failed');
    });
  }
}

function forever(): Promise<never> {
  return new Promise(() => undefined);
}
