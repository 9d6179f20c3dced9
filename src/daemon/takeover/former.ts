/**
 * The side of the daemon that hands its node over (docs/takeover.md). Until it has released the lock it can go on as if
 * nothing had been; from then on a new daemon serves, and this one starts a successor if that one fails.
 *
 * serving   nobody has asked
 * handing   a new daemon is connected: effects land
 * released  the lock is free; calls that change something wait
 * passed    the new daemon serves; this one passes on what it is asked, and holds sessions of before
 */
import type { ClockPort } from '../../ports/clock.ts';
import { fail, toFault } from '../../base/fault.ts';
import type { Log } from '../../base/log.ts';
import { pause, within } from '../../host/clock/wait.ts';
import { closeFd } from '../../host/io/descriptors.ts';
import type { HostIdentity } from '../../host/process/process-identity.ts';
import { takeOverLimits } from '../bounds.ts';
import type { Link, Received } from './link.ts';
import type { HandingNode, HandingState, Parcel } from './handing-node.ts';
import type { Hello } from './messages.ts';
import { MigratedJournal } from './migrated-journal.ts';
import { Rescue } from './rescue.ts';

export class Handing {
  readonly #node: HandingNode;
  readonly #clock: ClockPort;
  readonly #log: Log;
  #state: HandingState = 'serving';
  #parcel: Parcel | undefined;
  #hasBegunRelease = false;
  /** Journal and lock are closed here: whatever fails, this one does not serve again. */
  #hasReleased = false;
  /** The daemon that this one hands over to just now. */
  #peer: HostIdentity | undefined;
  #isStopping = false;
  /** This one accepts no calls any more: the sockets in the parcel are all that it holds. */
  #hasYielded = false;
  #untilMs = 0;
  #successor: number | undefined;
  readonly #rescue: Rescue;
  readonly #migrated: MigratedJournal;
  #refused: { readonly pid: number; readonly reason: string } | undefined;
  readonly #onPassed: () => void;
  readonly #listeners = new Set<(step: string) => void>();

  /** @param onPassed is called each time a new daemon serves */
  constructor(node: HandingNode, clock: ClockPort, log: Log, onPassed: () => void) {
    this.#node = node;
    this.#clock = clock;
    this.#log = log;
    this.#onPassed = onPassed;
    this.#migrated = new MigratedJournal(node, clock, log);
    this.#rescue = new Rescue({
      node,
      clock,
      log,
      migrated: this.#migrated,
      isAlone: () => this.#isAlone(),
      isReleased: () => this.#state === 'released' && !this.#isStopping,
      // until calls were passed on this one listens as well, and they wait for a try that succeeds
      closeSockets: () => this.#hasYielded && this.#closeSockets(),
    });
  }

  get state(): HandingState {
    return this.#state;
  }

  /** The process that serves in place of this one, or did last. */
  get successor(): number | undefined {
    return this.#successor;
  }

  /** Journal and lock are being closed, or have been: nothing begins here any more, and nothing can be drained. */
  get hasBegunRelease(): boolean {
    return this.#hasBegunRelease;
  }

  /** The daemon that takes over just now. */
  get peer(): HostIdentity | undefined {
    return this.#peer;
  }

  /** Whether no daemon serves, none is taking over, and this one starts the next: systemd would not know another's. */
  get isWaiting(): boolean {
    return this.#isAlone() && !this.#node.isRestarted();
  }

  /** Whether the new daemon is so young that its end means a successor, or has just ended so young. */
  get isProbation(): boolean {
    return this.#state === 'passed' && (this.#rescue.isUnderWay || this.#clock.monoMs() < this.#untilMs);
  }

  /** The daemon after this one has handed over itself: it starts a successor if one is needed. */
  endProbation(): void {
    this.#untilMs = 0;
  }

  /** The process that holds the root's lock, unless this one has just killed it. */
  holder(): Promise<number | undefined> {
    return this.#rescue.holder();
  }

  /** Why this process was refused, if it is the last one that was. */
  refusalOf(pid: number): string | undefined {
    return this.#refused?.pid === pid ? this.#refused.reason : undefined;
  }

  /** Calls the listener with each step; the result ends that. */
  watch(listener: (step: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Serves one daemon that asks to take over. Never rejects. */
  async serve(link: Link, hello: Hello, pid: number): Promise<void> {
    const peer = this.#node.peers.identify(pid);
    const refusal =
      peer === undefined
        ? `take over: process ${pid} has gone`
        : (this.#refusalNow(hello) ?? this.#node.refusalOf(hello));
    if (refusal !== undefined || peer === undefined) {
      this.#log[hello.isRescue ? 'info' : 'warn'](
        { pid, version: hello.version, reason: refusal },
        'take-over refused',
      );
      this.#refused = { pid, reason: refusal ?? '' };
      this.#step(`refused process ${pid}: ${refusal ?? ''}`);
      await link.report({ type: 'refused', reason: refusal ?? '' });
      link.close();
      return;
    }
    this.#peer = peer;
    this.#migrated.handedTo(hello);
    try {
      if (this.#state === 'released') await this.#handAgain(link, peer);
      else await this.#handFirst(link, hello, peer);
    } catch (thrown) {
      this.#peer = undefined;
      // ends only once a successor serves, which asks here meanwhile
      await this.#failed(link, peer, toFault(thrown).message);
      return;
    }
    this.#peer = undefined;
  }

  #refusalNow({ isRescue }: Hello): string | undefined {
    if (this.#peer !== undefined) return 'take over: another daemon is taking over';
    if (isRescue && this.#state !== 'released') return 'take over: the daemon that runs serves';
    return this.#state === 'passed' ? 'take over: this daemon does not serve any more' : undefined;
  }

  /** The daemon that had taken over has ended. Starts a successor, unless somebody else does. */
  async rescue(): Promise<void> {
    const isNeeded = this.#state === 'passed' || this.#state === 'released';
    if (this.#rescue.isUnderWay || this.#isStopping || !isNeeded) return;
    await this.#rescue.during(async () => {
      if (this.#state === 'passed') {
        // it may have handed over in turn: the next one takes the lock
        await pause(this.#clock, takeOverLimits.relayPollMs);
        if (this.#isStopping || (await this.#rescue.holder()) !== undefined) return;
      }
      this.#state = 'released';
      const holder = await this.#rescue.untilServed();
      if (holder !== undefined) await this.#leaveTo(holder);
      else if (this.#isAlone()) this.#node.abandoned();
    });
  }

  /**
   * This daemon is being stopped: it starts no successor any more. Settles once no hand-over can go back to it, or one
   * has; it was called off unless the lock is free already. A disk that hangs keeps the journal from being closed, so
   * the wait has a bound. The result is the daemon that takes over: it has to end as well. `passed` where another one
   * served already when the stop began: the service manager stops that one.
   */
  async stop(): Promise<HostIdentity | 'passed' | undefined> {
    this.#isStopping = true;
    if (this.#state === 'passed') return 'passed';
    const peer = this.#peer;
    const { landMs, abortMs, answerMs } = takeOverLimits;
    const untilMs = this.#clock.monoMs() + landMs + abortMs + answerMs;
    while (this.#state === 'handing' && this.#clock.monoMs() < untilMs)
      await pause(this.#clock, takeOverLimits.pollMs);
    return this.#state === 'serving' ? undefined : (this.#peer ?? peer);
  }

  /** Another daemon has the lock, and has not asked here. */
  async #leaveTo(pid: number): Promise<void> {
    await this.#node.pass();
    this.#state = 'passed';
    // it may have the lock, and still recover
    this.#untilMs = this.#clock.monoMs() + takeOverLimits.recoverMs + takeOverLimits.probationMs;
    this.#log.info({ pid }, 'another daemon has the lock: sessions of before go on here');
    await this.#servedBy(pid);
    this.#onPassed();
  }

  /** After the probation: the sockets are the new daemon's alone. Nothing while a successor is to be started. */
  settle(): void {
    if (this.isProbation || this.#state !== 'passed') return;
    this.#rescue.forget();
    this.#closeSockets();
    // with the requests of URLs that nobody has used
    this.#parcel = undefined;
  }

  #servedBy(pid: number): Promise<void> {
    this.#hasYielded = true;
    this.#successor = pid;
    return this.#node.servedBy(pid);
  }

  #closeSockets(): void {
    const { message, fds } = this.#parcel ?? { fds: [] };
    for (const fd of fds) closeFd(fd);
    this.#parcel = message && { message: { ...message, sockets: [] }, fds: [] };
  }

  #isAlone(): boolean {
    return this.#state === 'released' && this.#peer === undefined && !this.#isStopping;
  }

  async #handFirst(link: Link, hello: Hello, peer: HostIdentity): Promise<void> {
    this.#state = 'handing';
    const begunMs = this.#clock.monoMs();
    this.#node.freeze();
    this.#step(`daemon ${peer.pid} of version ${hello.version} takes over: no effect begins`);
    await this.#greet(link);
    const next = link.receive();
    await this.#land(next);
    this.#hasBegunRelease = true;
    const { fds, message } = (this.#parcel = await this.#node.release());
    this.#hasReleased = true;
    this.#state = 'released';
    const ms = Math.round(this.#clock.monoMs() - begunMs);
    this.#step(`lock and journal released after ${ms} ms, with ${fds.length} sockets`);
    this.#log.info({ ms, tokens: message.tokens.length }, 'released the lock for the daemon that takes over');
    await this.#hand(link, peer, next);
  }

  /** To a successor: the lock is free already. */
  async #handAgain(link: Link, peer: HostIdentity): Promise<void> {
    await this.#greet(link);
    const next = link.receive();
    // it may fail while the parcel is sent
    next.catch(() => undefined);
    await this.#hand(link, peer, next);
  }

  #greet(link: Link): Promise<void> {
    return link.send({ type: 'freezing', pid: process.pid, version: this.#node.version });
  }

  /** Effects end, or are aborted. Throws if one does not, or if the new daemon goes: then this one goes on. */
  async #land(next: Promise<Received | undefined>): Promise<void> {
    const [late, off] = [new AbortController(), new AbortController()];
    const timer = this.#clock.setTimeout(() => late.abort(), takeOverLimits.landMs);
    const gone = next.then(
      () => 'gone' as const,
      () => 'gone' as const,
    );
    const bound = { clock: this.#clock, timeoutMs: takeOverLimits.landMs + takeOverLimits.abortMs };
    try {
      const landed = this.#node.landed(late.signal, off.signal).then(() => 'landed' as const);
      const first = await within(bound, Promise.race([landed, gone]));
      if (first === 'gone') fail('outside', 'take over: the new daemon has gone');
      if (first !== 'landed')
        fail('timedOut', `take over: still waiting for ${this.#node.landing().join(', ')}`);
    } finally {
      this.#clock.clearTimeout(timer);
      off.abort();
    }
    this.#step('effects in progress have ended');
  }

  async #hand(link: Link, peer: HostIdentity, next: Promise<Received | undefined>): Promise<void> {
    const parcel = this.#parcel ?? fail('bug', 'hand over without a lock that was released');
    await link.send({ ...parcel.message, events: this.#node.shown() }, parcel.fds);
    const recovered = await within({ clock: this.#clock, timeoutMs: takeOverLimits.recoverMs }, next);
    if (typeof recovered !== 'object' || recovered.message.type !== 'recovered')
      fail('outside', `take over: the new daemon has not recovered: ${describe(recovered)}`);
    this.#step(`daemon ${peer.pid} has recovered`);
    await this.#node.pass();
    await link.send({ type: 'passed' });
    await link.expect('serving', takeOverLimits.answerMs);
    this.#step(`daemon ${peer.pid} serves`);
    await this.#servedBy(peer.pid);
    await link.report({ type: 'named' });
    link.close();
    this.#state = 'passed';
    this.#untilMs = this.#clock.monoMs() + takeOverLimits.probationMs;
    this.#log.info({ pid: peer.pid }, 'another daemon serves: sessions of before go on here');
    this.#onPassed();
  }

  async #failed(link: Link, peer: HostIdentity, reason: string): Promise<void> {
    this.#log.error({ pid: peer.pid, reason }, 'take-over failed');
    this.#step(`failed: ${reason}`);
    if (!this.#hasReleased) {
      this.#state = 'serving';
      this.#hasBegunRelease = false;
      this.#node.thaw();
      await link.report({ type: 'refused', reason });
      return link.close();
    }
    link.close();
    // one that hangs would hold the lock
    this.#rescue.kill(peer);
    this.#state = 'released';
    // room was made for one that has recovered: the next one must find this one
    if (this.#rescue.isUnderWay) await this.#rescue.listens();
    await this.rescue().catch((thrown: unknown) =>
      this.#log.error({ reason: toFault(thrown).message }, 'start a successor: failed'),
    );
  }

  #step(text: string): void {
    for (const listener of [...this.#listeners]) listener(text);
  }
}

function describe(received: Received | undefined | 'timedOut' | 'cancelled'): string {
  if (received === undefined) return 'it has gone';
  return typeof received === 'string' ? 'no answer' : `it said ${received.message.type}`;
}
