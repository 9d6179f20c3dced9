/** One plugin: its connection, its name, and the events that it subscribes to. */
import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import type { Duplex } from 'node:stream';
import type { ClockPort } from '../ports/clock.ts';
import type { EffectContext } from '../ports/effect.ts';
import { fail, fault, FaultError, printable, toFault } from '../base/fault.ts';
import type { Fault } from '../base/fault.ts';
import { nriLimits } from './bounds.ts';
import { Event, Plugin as PluginService, Runtime } from '../gen/nri/v1alpha1/api_pb.ts';
import type {
  StateChangeEventSchema,
  UpdateContainersRequest,
  UpdateContainersResponseSchema,
} from '../gen/nri/v1alpha1/api_pb.ts';
import { TtrpcClient, UnsentError } from '../ttrpc/client.ts';
import { TtrpcServer, ttrpcRoute } from '../ttrpc/server.ts';
import { Mux, PLUGIN_CONNECTION, RUNTIME_CONNECTION } from './mux.ts';

/** The version of the API that troupe implements; plugins decide by it which features they may use. */
const NRI_VERSION = 'v0.12.2';

/** Bits of ConfigureResponse.events: event n is bit n-1. */
const ALL_EVENTS = 2 ** (Event.LAST - 1) - 1;

export interface PluginName {
  readonly name: string;
  /** Two digits: plugins are called in ascending order. */
  readonly index: string;
}

export interface PluginOptions {
  readonly clock: ClockPort;
  /** Set for a plugin that troupe started; any other registers under its own name. */
  readonly given?: PluginName;
  /** Content of its configuration file. */
  readonly config: string;
  readonly runtime: { readonly name: string; readonly version: string };
  readonly registrationMs: number;
  readonly requestMs: number;
  /** Called when the plugin requests changes on its own initiative. */
  readonly onUpdate: (
    plugin: Plugin,
    request: UpdateContainersRequest,
    signal: AbortSignal,
  ) => Promise<MessageInitShape<typeof UpdateContainersResponseSchema>>;
  /** Called once, whichever side ended the connection. */
  readonly onGone: (plugin: Plugin, reason: string) => void;
}

/** True for a plugin's index. */
export function isIndex(text: string): boolean {
  return /^[0-9]{2}$/u.test(text);
}

/** True for a plugin's name by NRI's own rule. */
export function isPluginName(text: string): boolean {
  return /^[A-Za-z0-9_.+-]{1,255}$/u.test(text);
}

export class Plugin {
  readonly #options: PluginOptions;
  readonly #client: TtrpcClient;
  #named: PluginName | undefined;
  #events = 0;
  #gone: string | undefined;
  /** Why troupe dropped the plugin; undefined when the connection just ended. */
  #dropped: string | undefined;
  #registered: (named: PluginName | Fault) => void = () => undefined;
  /** Events for which this plugin needs StateChange: older plugins have no method of their own for them. */
  readonly #viaStateChange = new Set<Event>();

  constructor(trunk: Duplex, options: PluginOptions) {
    this.#options = options;
    const mux = new Mux(trunk);
    const ended = (reason: Error | undefined): void =>
      this.#end(reason?.message ?? 'its connection has ended');
    this.#client = new TtrpcClient(mux.open(PLUGIN_CONNECTION), {
      clock: options.clock,
      peer: 'nri plugin',
      onClose: ended,
    });
    // its listeners keep it alive
    void new TtrpcServer(mux.open(RUNTIME_CONNECTION), {
      clock: options.clock,
      onClose: ended,
      routes: [
        ttrpcRoute(Runtime.method.registerPlugin, (request) =>
          this.#onRegister({ name: request.pluginName, index: request.pluginIdx }),
        ),
        ttrpcRoute(Runtime.method.updateContainers, (request, { signal }) =>
          options.onUpdate(this, request, signal),
        ),
      ],
    });
  }

  /** Index and name, such as `10-logger`. */
  get id(): string {
    return this.#named === undefined ? 'not yet registered' : `${this.#named.index}-${this.#named.name}`;
  }

  get named(): PluginName {
    return this.#named ?? { name: '', index: '' };
  }

  get isRegistered(): boolean {
    return this.#named !== undefined;
  }

  get isGone(): boolean {
    return this.#gone !== undefined;
  }

  subscribes(event: Event): boolean {
    return (this.#events & (1 << (event - 1))) !== 0;
  }

  /** Waits for the plugin to register, then configures it. Rejects with the reason when it can't join. */
  async register(): Promise<void> {
    const { registrationMs, requestMs, config, runtime } = this.#options;
    this.#named = await this.#untilRegistered();
    const answer = await this.#client.call(
      PluginService.method.configure,
      {
        config,
        runtimeName: runtime.name,
        runtimeVersion: runtime.version,
        registrationTimeout: BigInt(registrationMs),
        requestTimeout: BigInt(requestMs),
        NRIVersion: NRI_VERSION,
      },
      { timeoutMs: requestMs },
    );
    if ((answer.events & ~ALL_EVENTS) !== 0) {
      fail(
        'outside',
        `configure nri plugin ${this.id}: subscribes to unknown events (0x${(answer.events >>> 0).toString(16)})`,
      );
    }
    this.#events = answer.events === 0 ? ALL_EVENTS : answer.events;
  }

  /**
   * Makes one call. Rejects when the plugin refuses, or when the call could not be sent. A plugin that does
   * not answer is dropped, and the result is undefined, as it is for an event that it does not subscribe to.
   */
  async ask<I extends DescMessage, O extends DescMessage>(
    event: Event,
    method: DescMethodUnary<I, O>,
    message: MessageInitShape<I>,
    fx: Pick<EffectContext, 'signal'>,
  ): Promise<MessageShape<O> | undefined> {
    if (!this.subscribes(event) || this.isGone) return undefined;
    try {
      if (!this.#viaStateChange.has(event)) return await this.#call(method, message, fx.signal);
    } catch (thrown) {
      if (!this.#isOlder(event, thrown)) return this.#refused(method.name, thrown, fx.signal);
    }
    try {
      // plugins before v0.12 receive these events through one common method with the same fields
      const { pod, container } = message as Pick<
        MessageInitShape<typeof StateChangeEventSchema>,
        'pod' | 'container'
      >;
      const about = {
        ...(pod === undefined ? {} : { pod }),
        ...(container === undefined ? {} : { container }),
      };
      await this.#call(PluginService.method.stateChange, { event, ...about }, fx.signal);
    } catch (thrown) {
      return this.#refused(method.name, thrown, fx.signal);
    }
    return undefined;
  }

  /**
   * A call that is not an event; rejects on any error. Its limit is that of one call, and at most `mostMs`.
   */
  call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    message: MessageInitShape<I>,
    mostMs: number = Infinity,
  ): Promise<MessageShape<O>> {
    return this.#client.call(method, message, { timeoutMs: Math.min(this.#options.requestMs, mostMs) });
  }

  /** Ends the connection. Repeatable. */
  drop(reason: string): void {
    this.#dropped ??= reason;
    this.#client.close();
  }

  #call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    message: MessageInitShape<I>,
    signal: AbortSignal,
  ): Promise<MessageShape<O>> {
    return this.#client.call(method, message, { timeoutMs: this.#options.requestMs, signal });
  }

  #isOlder(event: Event, thrown: unknown): boolean {
    if (!STATE_CHANGES.has(event) || toFault(thrown).kind !== 'unsupported') return false;
    this.#viaStateChange.add(event);
    return true;
  }

  #refused(name: string, thrown: unknown, signal: AbortSignal): undefined {
    const { kind, message } = toFault(thrown);
    // the caller's abort, not the plugin's fault
    if (signal.aborted) throw thrown;
    // the message never reached the plugin, as when a pod's environment is longer than the protocol allows
    if (thrown instanceof UnsentError)
      fail(kind, `send ${name} to nri plugin ${this.id}: ${message}`, { subject: this.id, retryable: false });
    // an error with the client's own prefix is an answer; anything else (such as a malformed message) is a
    // protocol error
    const said = /^nri plugin: \w+: (.*)$/su.exec(message)?.[1];
    if (said !== undefined && kind !== 'timedOut' && !this.#client.isClosed) {
      fail(
        'outside',
        `nri plugin ${this.id} refused ${name}: ${printable(said.slice(0, nriLimits.reasonChars))}`,
        { subject: this.id, quotesOutput: true },
      );
    }
    this.drop(
      kind === 'timedOut'
        ? `${name}: timed out after ${this.#options.requestMs} ms waiting for an answer`
        : `${name}: ${message}`,
    );
    return undefined;
  }

  #untilRegistered(): Promise<PluginName> {
    const { clock, registrationMs } = this.#options;
    return new Promise((resolve, reject) => {
      const timer = clock.setTimeout(
        () =>
          this.#registered(
            fault(
              'timedOut',
              `admit nri plugin: timed out after ${registrationMs} ms waiting for its registration`,
            ),
          ),
        registrationMs,
      );
      this.#registered = (outcome) => {
        clock.clearTimeout(timer);
        if ('kind' in outcome) reject(new FaultError(outcome));
        else resolve(outcome);
      };
    });
  }

  #onRegister(asked: PluginName): Promise<object> {
    const { given } = this.#options;
    if (this.#named !== undefined)
      return Promise.reject(
        new FaultError(fault('wrongState', `register nri plugin ${this.id}: already registered`)),
      );
    // a plugin that troupe started has the name of its file, whatever it registers as
    const named = given ?? asked;
    if (!isIndex(named.index) || !isPluginName(named.name)) {
      const why = fault(
        'invalidRequest',
        `register nri plugin ${printable(`${asked.index}-${asked.name}`)}: the index must be two digits, the name letters, digits and _.+-`,
      );
      this.#registered(why);
      return Promise.reject(new FaultError(why));
    }
    this.#registered(named);
    return Promise.resolve({});
  }

  #end(reason: string): void {
    if (this.#gone !== undefined) return;
    this.#gone = this.#dropped ?? printable(reason);
    this.#registered(fault('outside', `admit nri plugin: ${this.#gone}`));
    this.#client.close();
    this.#options.onGone(this, this.#gone);
  }
}

/** Events that plugins before v0.12 receive by StateChange. */
const STATE_CHANGES: ReadonlySet<Event> = new Set<Event>([
  Event.RUN_POD_SANDBOX,
  Event.POST_UPDATE_POD_SANDBOX,
  Event.STOP_POD_SANDBOX,
  Event.REMOVE_POD_SANDBOX,
  Event.POST_CREATE_CONTAINER,
  Event.START_CONTAINER,
  Event.POST_START_CONTAINER,
  Event.POST_UPDATE_CONTAINER,
  Event.REMOVE_CONTAINER,
]);
