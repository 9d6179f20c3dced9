/**
 * One process of the daemon in a world with take-overs. It starts, hands over and relays as `startDaemon` and
 * `HandOver` of src/daemon/wiring do, with the same parts: CallSwitch, Handing, Followers, the gate of the effects.
 */
import type { Call } from '../../src/actors/directory/ask.ts';
import type { Troupe } from '../../src/actors/troupe.ts';
import { endedByHandOver, fault, FaultError, toFault } from '../../src/base/fault.ts';
import { silentLog } from '../../src/base/log.ts';
import { CallSwitch } from '../../src/cri/call/call-switch.ts';
import { EventFeed } from '../../src/cri/call/event-feed.ts';
import { ShownEvents } from '../../src/cri/call/kept-events.ts';
import type { EventsBefore } from '../../src/cri/call/kept-events.ts';
import { untilReached } from '../../src/cri/call/relay.ts';
import type { CallContext, UnaryHandler } from '../../src/cri/call/server.ts';
import { takeOverLimits } from '../../src/daemon/bounds.ts';
import { AfterHandOver } from '../../src/daemon/takeover/after-hand-over.ts';
import { Followers, sinceOf } from '../../src/daemon/takeover/followers.ts';
import { Handing } from '../../src/daemon/takeover/former.ts';
import type { HandingNode, Parcel } from '../../src/daemon/takeover/handing-node.ts';
import type { Link } from '../../src/daemon/takeover/link.ts';
import { lockSoon } from '../../src/daemon/takeover/lock-soon.ts';
import { TAKE_OVER_PROTOCOL } from '../../src/daemon/takeover/messages.ts';
import { NextDaemons } from '../../src/daemon/takeover/next-daemons.ts';
import type { Hello } from '../../src/daemon/takeover/messages.ts';
import { takeOverBy } from '../../src/daemon/takeover/taking.ts';
import type { Inheritance } from '../../src/daemon/takeover/taking.ts';
import { pause } from '../../src/host/clock/wait.ts';
import type { HostIdentity } from '../../src/host/process/process-identity.ts';
import type { ClockPort } from '../../src/ports/clock.ts';
import type { Daemons } from './daemons.ts';
import type { LinkEnd } from './link-twin.ts';
import type { Life } from './life.ts';
import { plantInError } from './planted.ts';
import { encodedEvent, RelayedWatch } from './relayed-events.ts';
import type { World } from './world.ts';

/** Beyond the pids of any machine, so that no code finds a process of this one under it. */
const FIRST_PID = 10_000_000;
const SERVICE: Parcel['message']['service'] = { notifySocket: '', watchdogMs: undefined };
const DIRECTORY = { dev: '1', ino: '2' };
const INSTANCE = { version: 'sim', journal: 1, root: DIRECTORY, state: DIRECTORY, socket: '/sim.sock' };

/** What a call of a client does at whichever instance answers it. */
export type Work = (troupe: Troupe, call: Call) => Promise<unknown>;

/** A call at this instance: `waiting` is neither at work here nor asked of another. */
interface Held {
  readonly operation: string;
  at: 'waiting' | 'here' | 'onward';
}

export class Instance implements HandingNode {
  readonly epoch: number;
  readonly pid: number;
  readonly version = INSTANCE.version;
  readonly peers: HandingNode['peers'];
  readonly calls = new CallSwitch();
  readonly handing: Handing;
  readonly clock: ClockPort;
  /** How each call on its connections is lost when it dies, and its operation. */
  readonly lost = new Map<() => void, string>();
  readonly links = new Set<LinkEnd>();
  /** Errors of its own handlers in a hand-over, none of which may be answered. */
  readonly heldErrors = new WeakSet();
  readonly held = new Set<Held>();
  /** The number of its set of machines. */
  readonly machines: number;
  life: Life | undefined;
  /** What a client that watches for events has got, before and after the hand-over. */
  watch: RelayedWatch | undefined;
  hasReleased = false;
  hasPassed = false;
  /** Whether the daemon before it, and whoever starts daemons, know that it serves. */
  isPassedTo = false;
  isStopping = false;
  readonly parent: Instance | undefined;
  readonly next: NextDaemons;
  #isFrozen = false;
  readonly #world: World;
  readonly #daemons: Daemons;
  readonly #ending = new AbortController();
  #feed: EventFeed | undefined;
  #followers: Followers | undefined;
  #shown: ShownEvents | undefined;
  #isFollowing = false;
  /** Whether the service manager knows the one that serves. */
  #isNamed = false;

  constructor(world: World, daemons: Daemons, parent: Instance | undefined) {
    this.#world = world;
    this.#daemons = daemons;
    this.epoch = world.scheduler.beginBeside();
    this.pid = FIRST_PID + this.epoch;
    this.clock = world.scheduler.clock(this.epoch);
    const taken = new Set(daemons.running.map((one) => one.machines));
    this.machines = [...taken, 0].findIndex((_none, n) => !taken.has(n));
    this.parent = parent;
    this.peers = daemons.peers;
    const never = new Promise<never>(() => undefined);
    this.next = new NextDaemons({
      clock: this.clock,
      peers: this.peers,
      start: async () => {
        const { pid, identity } = daemons.start(true, this);
        return { pid, identity, exited: never };
      },
    });
    this.handing = new Handing(this, this.clock, silentLog, () => this.#onPassed());
  }

  get identity(): HostIdentity {
    return { pid: this.pid, startTicks: this.epoch };
  }

  /** A hand-over is under way here, or done: the errors of its handlers may be caused by it. */
  get isHolding(): boolean {
    return this.#isFrozen;
  }

  /** Effects that wait although the gate is open. */
  get forgottenEffects(): number {
    const gate = this.life?.troupe.activity.gate;
    return gate?.state === 'open' ? gate.size : 0;
  }

  /** From its start until it serves. Rejects when it ends in place of that. */
  async begin(isTakingOver: boolean): Promise<void> {
    const inherited = await this.#inherit(isTakingOver);
    const lock = async (): Promise<void> => this.#daemons.takeLock(this);
    await (inherited === undefined ? lock() : lockSoon(lock, this.clock));
    const life = await this.#world.lives.begin(this.epoch, this.machines);
    this.life = life;
    const { directory } = life.troupe;
    const before = inherited?.events;
    const feed = { id: String(this.epoch), before };
    if (before !== undefined) this.#feed = new EventFeed(directory, this.clock, feed);
    this.#world.enters(this.epoch, life);
    await life.troupe.start();
    this.#feed ??= new EventFeed(directory, this.clock, feed);
    this.#followers = new Followers(this.#feed, encodedEvent, silentLog);
    this.#world.serves(this.epoch, life);
    this.#feed.announce();
    await inherited?.pass();
    await this.listenAgain().catch(() => void this.#listenLater());
    this.watch = new RelayedWatch(directory, this.#feed, this.calls, this.#ending.signal);
    this.#daemons.accepts(this);
    await inherited?.serving();
  }

  /** As `takeOverFrom` of src/daemon/wiring/take-over.ts. */
  async #inherit(isTakingOver: boolean): Promise<Inheritance | undefined> {
    const link = this.#daemons.dial(this);
    if (link === undefined) return undefined;
    return takeOverBy(link, { ...INSTANCE, isRescue: !isTakingOver }, silentLog).catch((thrown: unknown) => {
      if (isTakingOver) throw thrown;
      return undefined;
    });
  }

  /** The other end of a connection to the take-over socket; see `accept` of src/daemon/takeover/control.ts. */
  async accept(link: Link, pid: number): Promise<void> {
    const first = await link.receive();
    if (first === undefined) return link.close();
    const { message } = first;
    if (message.type === 'hello') return this.handing.serve(link, message, pid);
    const isYielded = this.handing.state === 'released' || this.handing.state === 'passed';
    if (message.type === 'follow' && !isYielded && this.#followers !== undefined)
      return this.#followers.serve(link, message, pid);
    return link.close();
  }

  /** As SIGTERM asks for: those that hold sessions of before end too. */
  async drain(begins: () => () => void): Promise<void> {
    this.isStopping = true;
    this.next.refuse();
    const peer = await this.handing.stop();
    if (peer !== 'passed' && this.#world.mutant !== 'nextLeft') await this.next.end(peer);
    await this.#followers?.stopped(this.clock, undefined);
    if (this.handing.hasBegunRelease) return;
    const done = begins();
    await this.life?.troupe.drain();
    done();
  }

  /** A hand-over is under way here. */
  get isHandingOver(): boolean {
    return this.handing.state === 'handing' || this.handing.state === 'released';
  }

  /** The process is gone: nothing that it has open stays. */
  die(): void {
    this.#ending.abort();
    for (const link of this.links) link.cut();
    for (const lose of this.lost.keys()) lose();
    this.lost.clear();
  }

  /** Answers a call as the server of the daemon does. */
  method(operation: string): UnaryHandler {
    const name = `sim/${operation}`;
    const held: Held = { operation, at: 'waiting' };
    const handler: UnaryHandler = (request, call) => {
      held.at = 'here';
      return this.#handle(operation, request, call).finally(() => {
        if (held.at === 'here') held.at = 'waiting';
      });
    };
    const method = this.calls.methods({ [name]: handler })[name];
    return async (request, call) => {
      this.held.add(held);
      this.#onwards.set(request, held);
      try {
        if (method === undefined) throw new Error('no method');
        return await method(request, call);
      } finally {
        this.held.delete(held);
      }
    };
  }

  readonly #onwards = new WeakMap<Uint8Array, Held>();

  async #handle(operation: string, request: Uint8Array, call: CallContext): Promise<Uint8Array> {
    try {
      const { troupe } = this.life ?? {};
      const reason = troupe === undefined ? 'starting' : troupe.notReadyReason();
      if (troupe === undefined || reason !== undefined)
        throw new FaultError(fault('notReady', `${operation}: ${reason}`));
      return await this.#daemons.calls.carryOut(request, (work) =>
        work(troupe, {
          cause: { requestId: operation, origin: operation },
          signal: call.signal,
          deadlineMonoMs: call.deadlineMonoMs,
          askedNs: call.askedNs,
        }),
      );
    } catch (error) {
      const thrown = plantInError(this.#world.mutant, error);
      if (error instanceof FaultError && endedByHandOver(error.fault)) this.heldErrors.add(thrown as object);
      if (this.#isFrozen && operation !== 'ExecSync' && typeof thrown === 'object' && thrown !== null) {
        this.heldErrors.add(thrown);
        if (this.#world.mutant === 'freezeAnswered') return this.#daemons.calls.answered({ thrown });
      }
      throw thrown;
    }
  }

  refusalOf({ protocol }: Hello): string | undefined {
    if (protocol !== TAKE_OVER_PROTOCOL) return `take over: protocol ${protocol}`;
    if (this.isStopping) return 'take over: the daemon that runs is stopping';
    return this.life === undefined ? 'take over: starting' : this.life.troupe.notReadyReason();
  }

  freeze(): void {
    this.#isFrozen = true;
    this.#daemons.freezes += 1;
    this.calls.hold();
    if (this.#world.mutant !== 'gateLeftOpen') this.#activity?.gate.become('frozen');
  }

  thaw(): void {
    this.#daemons.made.thawed += 1;
    this.#isFrozen = false;
    this.#activity?.gate.become('open');
    if (this.#world.mutant !== 'thawForgets') this.calls.resume();
  }

  async landed(late: AbortSignal, off: AbortSignal): Promise<void> {
    const goesOn = this.#world.mutant === 'landingGoesOn';
    await this.#activity?.landed(late, goesOn ? new AbortController().signal : off);
  }

  landing(): readonly string[] {
    return this.#activity?.landing() ?? [];
  }

  get #activity(): Troupe['activity'] | undefined {
    return this.life?.troupe.activity;
  }

  async release(): Promise<Parcel> {
    const { mutant } = this.#world;
    if (mutant !== 'recordAfterShut' && mutant !== 'gateLeftOpen') this.#activity?.gate.become('shut');
    const events = this.#feed?.handOver() ?? { lastNs: '0', shown: [] };
    this.#shown = new ShownEvents(events);
    this.#world.leaves(this.epoch);
    if (mutant === 'lockBeforeJournal') this.#daemons.releaseLock(this);
    // an error of the disk ends the close as well: what is not durable was never answered
    if (mutant !== 'recordAfterShut')
      await this.life?.opened.close().catch((thrown: unknown) => toFault(thrown));
    this.hasReleased = true;
    this.#daemons.releaseLock(this);
    return { message: { type: 'released', sockets: [], service: SERVICE, tokens: [], events }, fds: [] };
  }

  shown(): EventsBefore {
    return this.#shown?.now() ?? { lastNs: '0', shown: [] };
  }

  async pass(): Promise<void> {
    this.#daemons.passes(this);
  }

  async migrated(): Promise<undefined> {
    // all programs of the model are of one version
  }

  async holder(): Promise<number | undefined> {
    return this.#daemons.holder;
  }

  #yieldCalls(): void {
    if (this.hasPassed) return;
    this.hasPassed = true;
    const ask = untilReached(
      (name, request, call) => this.#daemons.calls.ask(this, name, request, call),
      this.clock,
      (untilMs) => this.#daemons.calls.reached(this, untilMs),
    );
    this.calls.pass({
      unary: (name, request, call) => {
        const held = this.#onwards.get(request);
        if (held !== undefined) held.at = 'onward';
        return ask(name, request, call);
      },
      stream: () => Promise.reject(new Error('no stream is asked of another')),
    });
  }

  async servedBy(pid: number): Promise<void> {
    this.#yieldCalls();
    await this.#followers?.moved();
    this.#daemons.servedBy(pid);
    this.#isNamed = this.#daemons.isManaged;
  }

  async listenAgain(): Promise<void> {
    this.#daemons.listen(this);
  }

  async #listenLater(): Promise<void> {
    for (let isDone = false; !isDone && !this.hasReleased;) {
      await pause(this.clock, takeOverLimits.relayPollMs);
      isDone = await this.listenAgain().then(
        () => true,
        () => false,
      );
    }
  }

  async startSuccessor(): Promise<HostIdentity> {
    this.#daemons.made.successor += 1;
    return (await this.next.start()).identity;
  }

  isRestarted(): boolean {
    return this.#isNamed;
  }

  /** Calls that wait here are lost: whoever starts daemons starts another one. */
  abandoned(): void {
    this.#daemons.ended(this);
  }

  #onPassed(): void {
    this.#daemons.made.handedOver += 1;
    this.next.served(this.handing.successor);
    if (this.#isFollowing) return;
    this.#isFollowing = true;
    const after = new AfterHandOver({
      clock: this.clock,
      log: silentLog,
      handing: this.handing,
      dial: () => this.#daemons.dial(this) ?? this.#nobody(),
      follow: () => ({
        type: 'follow',
        protocol: TAKE_OVER_PROTOCOL,
        version: this.version,
        ...sinceOf(this.shown()),
        handedNs: '0',
        sessions: this.held.size,
      }),
      onEvent: (message, sent) => {
        this.#shown?.add(sent);
        this.calls.event(message);
      },
      onGap: () => this.calls.endEvents('events are missing'),
      held: () => this.held.size,
      connections: () => 0,
      onUnconnected: () => undefined,
      signal: this.#ending.signal,
    });
    void after.left().then(() => this.#daemons.ended(this));
  }

  #nobody(): never {
    throw new FaultError(fault('outside', 'nobody listens'));
  }
}
