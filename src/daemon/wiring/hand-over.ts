/** The hand-over of a running daemon to another one, by its parts (docs/takeover.md). No decisions: see ../takeover. */
import { constants } from 'node:os';
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
import { endPreference } from '../../host/tuning/main-thread-priority.ts';
import { AfterHandOver } from '../takeover/after-hand-over.ts';
import type { Left } from '../takeover/after-hand-over.ts';
import { Followers, sinceOf } from '../takeover/followers.ts';
import type { FormerDaemon } from '../takeover/followers.ts';
import { Handing } from '../takeover/former.ts';
import type { HandingNode, Parcel } from '../takeover/handing-node.ts';
import { Link } from '../takeover/link.ts';
import { type Migrated, tooOld } from '../takeover/migrated-journal.ts';
import { TAKE_OVER_PROTOCOL } from '../takeover/messages.ts';
import type { Hello } from '../takeover/messages.ts';
import { NextDaemons, STOPPING } from '../takeover/next-daemons.ts';
import { ownLauncher, startProgram } from '../takeover/successor.ts';
import { Upgrading } from '../takeover/upgrading.ts';
import type { HandOverParts } from './hand-over-parts.ts';
import { isSameFile } from './instance-of.ts';
import { journalFormat } from './journal-records.ts';
import type { Instance } from './instance-of.ts';
import { VERSION } from './version.ts';
import { versionIn } from './written-by.ts';

const { SIGHUP, SIGKILL, SIGTERM } = constants.signals;

export class HandOver implements HandingNode {
  readonly version = VERSION;
  readonly peers = {
    identify: processIdentity,
    exists: processExists,
    kill: (peer: HostIdentity) => void killProcess(peer, SIGKILL),
    terminate: (peer: HostIdentity) => void killProcess(peer, SIGTERM),
  };
  readonly #parts: HandOverParts;
  readonly #instance: Instance;
  readonly #handing: Handing;
  readonly #followers: Followers;
  readonly #upgrading: Upgrading;
  readonly #next: NextDaemons;
  /** The daemon before this one. */
  readonly #former: HostIdentity | undefined;
  /** Who has migrated the journal to which format, where this one does not read that. */
  #migrated: Migrated | undefined;
  readonly #left = Promise.withResolvers<Left>();
  readonly #ending = new AbortController();
  #control: PrivateSocket | undefined;
  #shown: ShownEvents | undefined;
  #handedNs = 0n;
  /** Settles with the reload in progress. */
  #reloading: Promise<void> | undefined;
  #isFollowing = false;
  /** Whether the other daemon is asked. */
  #isYieldedTo = false;
  /** Whether systemd has got the pid of the daemon that serves. */
  #isNamed = false;

  constructor(parts: HandOverParts, instance: Instance) {
    this.#parts = parts;
    this.#instance = instance;
    this.#former = parts.former === undefined ? undefined : processIdentity(parts.former);
    const { clock, log } = parts.assembly.ports;
    this.#handing = new Handing(this, clock, log, () => this.#onPassed());
    const encode = (event: Parameters<typeof podEventBytes>[0]): Uint8Array =>
      podEventBytes(event, (id) => parts.assembly.troupe.findImage(id));
    this.#next = new NextDaemons({
      clock,
      peers: this.peers,
      start: (program = ownLauncher()) => parts.starter?.start(program) ?? startProgram(program),
    });
    this.#upgrading = new Upgrading({
      clock,
      log,
      state: () => this.#handing.state,
      isWaiting: () => this.#handing.isWaiting,
      successor: () => this.#handing.successor,
      refusalOf: (pid) => this.#handing.refusalOf(pid),
      watch: (listener) => this.#handing.watch(listener),
      start: (program) => this.#next.start(program),
      kill: this.peers.kill,
      identity: parts.program,
    });
    this.#followers = new Followers(parts.events, encode, log);
  }

  /** Whether another daemon serves, or is about to: this one only holds sessions. */
  get isYielded(): boolean {
    return this.#handing.state === 'released' || this.#handing.state === 'passed';
  }

  /** Whether effects may begin and end here: not once the node is being handed over for good. */
  get canDrain(): boolean {
    return !this.#handing.hasBegunRelease;
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

  /** The node's daemon is being stopped: the one that would serve next ends, and those that hold sessions of before. */
  async stop(): Promise<void> {
    this.#ending.abort();
    this.#next.refuse();
    const { clock } = this.#parts.assembly.ports;
    // it is called off, so that this daemon drains with effects that may begin; or it has come to the release
    const peer = await this.#handing.stop();
    if (peer !== 'passed') await this.#next.end(peer);
    await this.#followers.stopped(clock, this.#former);
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

  async landed(late: AbortSignal, off: AbortSignal): Promise<void> {
    const ended = Promise.withResolvers<void>();
    const stopListening = [
      onAbort(this.#ending.signal, () => ended.reject(new FaultError(fault('cancelled', STOPPING)))),
      // a reload may still wait for a disk
      onAbort(off, ended.resolve),
    ];
    try {
      const landed = Promise.all([this.#troupe.activity.landed(late, off), this.#reloading]);
      await Promise.race([landed, ended.promise]);
    } finally {
      for (const stop of stopListening) stop();
    }
  }

  landing(): readonly string[] {
    const reload = this.#reloading === undefined ? [] : ['reload of the configuration'];
    return [...this.#troupe.activity.landing(), ...reload];
  }

  /**
   * Reads the files, then runs a reload with them, which changes the node's files. A hand-over waits for that, and it
   * for a hand-over that may fail yet; the files are read again then. Undefined where the node is handed over: then it
   * is for the other daemon, which is asked once it serves, since it may have read the files before they were changed.
   */
  async reload<F, T>(read: () => Promise<F>, work: (fresh: F) => Promise<T>): Promise<T | undefined> {
    for (;;) {
      while (this.#handing.state === 'handing')
        await pause(this.#parts.assembly.ports.clock, takeOverLimits.pollMs);
      if (this.isYielded) return this.#reloadNext();
      const fresh = await read();
      if (this.#handing.state === 'serving') return this.#reloadNow(() => work(fresh));
    }
  }

  #reloadNow<T>(work: () => Promise<T>): Promise<T> {
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

  /** Throws `outside` if no daemon serves that could be asked. */
  async #reloadNext(): Promise<undefined> {
    const { clock, log } = this.#parts.assembly.ports;
    const untilMs = clock.monoMs() + takeOverLimits.recoverMs;
    while (this.#handing.state === 'released' && clock.monoMs() < untilMs)
      await pause(clock, takeOverLimits.relayPollMs);
    // who has the lock is a daemon for certain, and not a process that has the number of one; the one that has taken
    // over may have handed over in turn
    const pid = this.#handing.state === 'passed' ? await this.holder() : undefined;
    const identity = pid === undefined ? undefined : processIdentity(pid);
    if (identity === undefined || !killProcess(identity, SIGHUP))
      return fail(
        'outside',
        'reload: this daemon has handed over, and no other one serves that could be asked',
      );
    log.info({ pid }, 'reload: another daemon has taken over, and is asked');
    return undefined;
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
    return (await this.#next.start()).identity;
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
    this.#next.served(this.#handing.successor);
    if (this.#isFollowing) return;
    this.#isFollowing = true;
    const { calls, streaming, assembly, config, server } = this.#parts;
    const { clock, log } = assembly.ports;
    const path = createLayout(config).takeOverSocket;
    const held = (): number => server.counts.calls + (streaming.server?.counts.sessions ?? 0);
    const after = new AfterHandOver({
      clock,
      log,
      handing: this.#handing,
      dial: () => Link.dial(path, clock),
      follow: () => ({
        type: 'follow',
        protocol: TAKE_OVER_PROTOCOL,
        version: VERSION,
        ...sinceOf(this.shown()),
        handedNs: String(this.#handedNs),
        sessions: held(),
      }),
      onEvent: (message, sent) => {
        this.#shown?.add(sent);
        calls.event(message);
        if (sent.type === 'stopped' || sent.type === 'deleted') streaming.server?.endSessionsOf(sent.id);
      },
      onGap: () => calls.endEvents('another daemon serves since, and events are missing: list again'),
      held,
      connections: () => server.counts.connections,
      onUnconnected: endPreference,
      signal: this.#ending.signal,
    });
    void after.left().then((left) => this.#left.resolve(left));
  }
}
