/** The hand-over of a running daemon to another one, by its parts (docs/takeover.md). No decisions: see ../takeover. */
import type { Troupe } from '../../actors/troupe.ts';
import { onAbort } from '../../base/abort.ts';
import { fail, fault, FaultError, toFault } from '../../base/fault.ts';
import { ShownEvents } from '../../cri/call/kept-events.ts';
import type { EventsBefore } from '../../cri/call/kept-events.ts';
import { relayTo } from '../../cri/call/relay.ts';
import { podEventBytes } from '../../cri/present/event.ts';
import { pause } from '../../host/clock/wait.ts';
import { notify, notifyBarrier } from '../../host/io/sd-notify.ts';
import type { PrivateSocket } from '../../host/io/private-socket.ts';
import { lockHolder } from '../../host/files/directory-lock.ts';
import { createLayout } from '../../host/sandbox/layout.ts';
import { isInOwnCgroup } from '../../host/process/own-cgroup.ts';
import { killProcess, processExists, processIdentity } from '../../host/process/process-identity.ts';
import type { HostIdentity } from '../../host/process/process-identity.ts';
import { takeOverLimits } from '../bounds.ts';
import { leaveService, notifySocket, serviceManager } from '../config/from-systemd.ts';
import { listenForControl, protocolRefusal } from '../takeover/control.ts';
import { Followers, followOn, sinceOf } from '../takeover/followers.ts';
import type { FormerDaemon } from '../takeover/followers.ts';
import { Handing } from '../takeover/former.ts';
import type { HandingNode, Parcel } from '../takeover/handing-node.ts';
import { Link } from '../takeover/link.ts';
import { type Migrated, tooOld } from '../takeover/migrated-journal.ts';
import { TAKE_OVER_PROTOCOL } from '../takeover/messages.ts';
import type { Hello } from '../takeover/messages.ts';
import { ownLauncher, startProgram } from '../takeover/successor.ts';
import { Upgrading } from '../takeover/upgrading.ts';
import type { StartedProgram } from '../takeover/upgrading.ts';
import type { HandOverParts } from './hand-over-parts.ts';
import { isSameFile } from './instance-of.ts';
import { journalFormat } from './journal-records.ts';
import type { Instance } from './instance-of.ts';
import { VERSION } from './version.ts';
import { versionIn } from './written-by.ts';

/** Whether nothing of before is held any more, or no other daemon has come. */
export type Left = 'done' | 'abandoned';

const SIGKILL = 9;
const STOPPING = 'take over: the daemon that runs is stopping';

export class HandOver implements HandingNode {
  readonly version = VERSION;
  readonly peers = {
    identify: processIdentity,
    exists: processExists,
    kill: (peer: HostIdentity) => void killProcess(peer, SIGKILL),
  };
  readonly #parts: HandOverParts;
  readonly #instance: Instance;
  readonly #handing: Handing;
  readonly #followers: Followers;
  readonly #upgrading: Upgrading;
  /** Who has migrated the journal to which format, where this one does not read that. */
  #migrated: Migrated | undefined;
  readonly #left = Promise.withResolvers<Left>();
  readonly #ending = new AbortController();
  #control: PrivateSocket | undefined;
  #shown: ShownEvents | undefined;
  #handedNs = 0n;
  /** Settles with the reload in progress. */
  #reloading: Promise<void> | undefined;
  #link: Link | undefined;
  #isFollowing = false;
  /** Whether the other daemon is asked. */
  #isYieldedTo = false;
  /** Since when no daemon serves that this one could follow. */
  #lostMs: number | undefined;
  /** Whether systemd has got the pid of the daemon that serves. */
  #isNamed = false;

  constructor(parts: HandOverParts, instance: Instance) {
    this.#parts = parts;
    this.#instance = instance;
    const { clock, log } = parts.assembly.ports;
    this.#handing = new Handing(this, clock, log, () => this.#onPassed());
    const encode = (event: Parameters<typeof podEventBytes>[0]): Uint8Array =>
      podEventBytes(event, (id) => parts.assembly.troupe.findImage(id));
    this.#upgrading = new Upgrading({
      clock,
      log,
      state: () => this.#handing.state,
      isWaiting: () => this.#handing.isWaiting,
      successor: () => this.#handing.successor,
      refusalOf: (pid) => this.#handing.refusalOf(pid),
      watch: (listener) => this.#handing.watch(listener),
      start: (program) => this.#start(program),
      kill: this.peers.kill,
      identity: parts.program,
    });
    this.#followers = new Followers(parts.events, encode, log);
  }

  /** Whether another daemon serves, or is about to: this one only holds sessions. */
  get isYielded(): boolean {
    return this.#handing.state === 'released' || this.#handing.state === 'passed';
  }

  /** Settles once another daemon serves and nothing of before is held here any more. */
  get left(): Promise<Left> {
    return this.#left.promise;
  }

  /** The daemons before this one that still hold sessions. */
  formerDaemons(): readonly FormerDaemon[] {
    return this.#followers.list();
  }

  /** Lets other daemons take over from now on. */
  async listen(): Promise<void> {
    if (this.#ending.signal.aborted) return;
    const { clock, log } = this.#parts.assembly.ports;
    this.#control = await listenForControl({
      path: createLayout(this.#parts.config).takeOverSocket,
      clock,
      log,
      onHello: (link, hello, pid) => this.#handing.serve(link, hello, pid),
      onFollow: async (link, follow, pid) =>
        this.isYielded ? link.close() : this.#followers.serve(link, follow, pid),
      onUpgrade: (link, upgrade) => this.#upgrading.serve(link, upgrade),
    });
  }

  /** The daemon is being stopped: those that hold sessions of before end, too. */
  async stop(): Promise<void> {
    this.#ending.abort();
    const { clock } = this.#parts.assembly.ports;
    // it is called off, so that this daemon drains with effects that may begin; or it has come to the release
    while (this.#handing.state === 'handing') await pause(clock, takeOverLimits.pollMs);
    await this.#followers.stopped(clock);
    await this.#control?.close();
  }

  refusalOf({ protocol, version, journal, root, state, socket }: Hello): string | undefined {
    const own = this.#instance;
    if (protocol !== TAKE_OVER_PROTOCOL) return protocolRefusal(protocol);
    if (journal < own.journal)
      return (
        `take over: ${version} reads the journal up to version ${journal}, and that of the daemon that runs has ` +
        `${own.journal}: go on with ${own.version} or a newer one`
      );
    const migrated = this.#migrated;
    if (migrated !== undefined && journal < migrated.format)
      return `take over: ${tooOld(version, journal, migrated)}`;
    if (!isSameFile(root, own.root))
      return `take over: another root, the daemon that runs has ${this.#parts.config.root}`;
    if (!isSameFile(state, own.state))
      return `take over: another state directory, the daemon that runs has ${this.#parts.config.state}`;
    if (socket !== own.socket) return `take over: another CRI socket, the daemon that runs has ${own.socket}`;
    if (this.#ending.signal.aborted) return STOPPING;
    const reason = this.#troupe.notReadyReason();
    return reason === undefined ? undefined : `take over: the daemon that runs is not ready: ${reason}`;
  }

  get #troupe(): Troupe {
    return this.#parts.assembly.troupe;
  }

  freeze(): void {
    this.#parts.calls.hold();
    this.#troupe.activity.gate.become('frozen');
  }

  thaw(): void {
    this.#troupe.activity.gate.become('open');
    this.#parts.calls.resume();
  }

  async landed(late: AbortSignal): Promise<void> {
    const stopped = Promise.withResolvers<never>();
    const stopListening = onAbort(this.#ending.signal, () =>
      stopped.reject(new FaultError(fault('cancelled', STOPPING))),
    );
    try {
      const landed = Promise.all([this.#troupe.activity.landed(late), this.#reloading]);
      await Promise.race([landed, stopped.promise]);
    } finally {
      stopListening();
    }
  }

  landing(): readonly string[] {
    const reload = this.#reloading === undefined ? [] : ['reload of the configuration'];
    return [...this.#troupe.activity.landing(), ...reload];
  }

  /**
   * Runs a reload, which changes the node's files. A hand-over waits for it, and it for a hand-over that may fail yet;
   * the daemon that has taken over reads the configuration itself.
   */
  async reload<T>(work: () => Promise<T>): Promise<T> {
    while (this.#handing.state === 'handing')
      await pause(this.#parts.assembly.ports.clock, takeOverLimits.pollMs);
    if (this.isYielded) fail('conflict', 'another daemon has taken over, which reads the configuration');
    const reloaded = work();
    const settled = reloaded.then(
      () => undefined,
      () => undefined,
    );
    this.#reloading = settled;
    void settled.then(() => {
      if (this.#reloading === settled) this.#reloading = undefined;
    });
    return reloaded;
  }

  async release(): Promise<Parcel> {
    const { assembly, streaming, listening, introspection, events, life, closeRest } = this.#parts;
    this.#troupe.activity.gate.become('shut');
    const duplicates = [...listening.duplicates()];
    const sockets = duplicates.map(([name]) => name);
    const fds = duplicates.map(([, fd]) => fd);
    // from here on nothing may fail: this daemon could not go on
    const tokens = await streaming.yieldTo().catch((thrown: unknown) => {
      this.#noted('hand streaming over')(thrown);
      return [];
    });
    await Promise.all(
      [introspection.release(), closeRest()].map((end) => end.catch(this.#noted('close a server'))),
    );
    life.yieldJournal();
    this.#handedNs = assembly.ports.clock.nowNs();
    const before = events.handOver();
    this.#shown = new ShownEvents(before);
    await assembly.yieldNode();
    return {
      message: { type: 'released', sockets, service: serviceManager(), tokens, events: before },
      fds,
    };
  }

  shown(): EventsBefore {
    return this.#shown?.now() ?? { lastNs: '0', shown: [] };
  }

  async pass(): Promise<void> {
    await this.#control?.close();
    this.#control = undefined;
  }

  /** The other daemon accepts, so that nobody waits: this one stops, and asks it from now on. */
  async #yieldCalls(): Promise<void> {
    const { calls, cri, config, assembly, server, endViews } = this.#parts;
    if (this.#isYieldedTo) return;
    this.#isYieldedTo = true;
    // before it connects: it could accept the connection itself
    await cri.release().catch(this.#noted('stop accepting'));
    const relay = relayTo(config.socket, assembly.ports.clock);
    calls.pass(relay, relay.reached());
    server.sendAway();
    // commands and the page ask the daemon that serves, once their streams end
    await endViews().catch(this.#noted('end the views of commands'));
  }

  async servedBy(pid: number): Promise<void> {
    await this.#yieldCalls();
    await this.#followers.moved();
    const { clock, log } = this.#parts.assembly.ports;
    const socket = notifySocket();
    // two would count as one
    this.#parts.life.end();
    if (socket === '') return;
    if (!isInOwnCgroup(pid))
      log.warn(
        { pid },
        'the daemon that has taken over is outside of the unit: its limits do not hold there',
      );
    try {
      await notify(socket, `MAINPID=${pid}`);
      await notifyBarrier(socket, clock);
      this.#isNamed = true;
      // what this process says is refused from now on
      leaveService();
    } catch (thrown) {
      this.#noted('notify systemd')(thrown);
    }
  }

  holder(): Promise<number | undefined> {
    return lockHolder(this.#parts.config.root);
  }

  async listenAgain(): Promise<void> {
    if (this.#control === undefined) await this.listen();
  }

  async migrated(by: string): Promise<string | undefined> {
    const { root } = this.#parts.config;
    const { journal } = this.#instance;
    const format = await journalFormat(root);
    if (format === undefined || format <= journal) return undefined;
    // whoever had said hello may not have got as far
    this.#migrated = { format, by: (await versionIn(root)) ?? by };
    return tooOld(VERSION, journal, this.#migrated);
  }

  async startSuccessor(): Promise<HostIdentity> {
    return (await this.#start(undefined)).identity;
  }

  #start(program = ownLauncher()): Promise<StartedProgram> {
    return this.#parts.starter?.start(program) ?? startProgram(program);
  }

  isRestarted(): boolean {
    return this.#isNamed;
  }

  abandoned(): void {
    this.#parts.assembly.ports.log.error({}, 'handed over, and no daemon serves: exit');
    this.#left.resolve('abandoned');
  }

  #noted(attempted: string): (thrown: unknown) => void {
    return (thrown) =>
      this.#parts.assembly.ports.log.warn({ reason: toFault(thrown).message }, `${attempted}: failed`);
  }

  #onPassed(): void {
    if (this.#isFollowing) return;
    this.#isFollowing = true;
    void this.#follow();
    void this.#untilEmpty();
  }

  async #follow(): Promise<void> {
    const { calls, streaming, assembly, config } = this.#parts;
    const { clock } = assembly.ports;
    const path = createLayout(config).takeOverSocket;
    const outcome = await followOn(
      {
        dial: () => Link.dial(path, clock),
        follow: () => ({
          type: 'follow',
          protocol: TAKE_OVER_PROTOCOL,
          version: VERSION,
          ...sinceOf(this.shown()),
          handedNs: String(this.#handedNs),
          sessions: this.#held(),
        }),
        onLink: (link) => {
          this.#link = link;
          if (link !== undefined) this.#lostMs = undefined;
        },
        onEvent: (message, sent) => {
          this.#shown?.add(sent);
          calls.event(message);
          if (sent.type === 'stopped' || sent.type === 'deleted') streaming.server?.endSessionsOf(sent.id);
        },
        onGap: () => calls.endEvents('another daemon serves since, and events are missing: list again'),
        onMoved: () => this.#handing.endProbation(),
        onLost: () => this.#onLost(),
      },
      (ms) => pause(clock, ms),
      this.#ending.signal,
    );
    if (outcome === 'stopping') this.#left.resolve('done');
  }

  /** The daemon that serves has ended, or does not listen yet. */
  #onLost(): void {
    if (this.#handing.isProbation) {
      void this.#handing.rescue().catch(this.#noted('start a successor'));
      return;
    }
    if (this.#handing.state !== 'passed') return;
    const nowMs = this.#parts.assembly.ports.clock.monoMs();
    this.#lostMs ??= nowMs;
    // stopped without a word that came here, or crashed for good
    if (nowMs - this.#lostMs > takeOverLimits.restartMs) this.#left.resolve('done');
  }

  /** Calls and sessions that are held here. */
  #held(): number {
    return this.#parts.server.counts.calls + (this.#parts.streaming.server?.counts.sessions ?? 0);
  }

  async #untilEmpty(): Promise<void> {
    const { clock } = this.#parts.assembly.ports;
    const untilMs = clock.monoMs() + takeOverLimits.relayMs;
    let reported = -1;
    for (;;) {
      await pause(clock, takeOverLimits.relayPollMs);
      const held = this.#held();
      if (held !== reported) await this.#link?.report({ type: 'holds', sessions: (reported = held) });
      if (this.#handing.state === 'passed' && !this.#handing.isProbation) {
        this.#handing.settle();
        if ((held === 0 && this.#parts.server.counts.connections === 0) || clock.monoMs() > untilMs) break;
      }
    }
    this.#left.resolve('done');
  }
}
