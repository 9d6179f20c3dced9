/**
 * The processes of the daemon in a world with take-overs (F92), and what of the machine they share: the lock of the
 * root, the socket on which they reach each other, the CRI socket, and whoever starts them.
 */
import { fail } from '../../src/base/fault.ts';
import { Link } from '../../src/daemon/takeover/link.ts';
import type { HandingNode } from '../../src/daemon/takeover/handing-node.ts';
import { HandedCalls } from './handed-calls.ts';
import { Instance } from './instance.ts';
import { LinkEnd } from './link-twin.ts';
import type { Random } from './random.ts';
import { WORLD } from './scheduler.ts';
import type { World } from './world.ts';

/** Milliseconds after which the service manager starts a daemon again. */
const RESTART_MS = 1000;

/** What a daemon that has released the node may still do: reads, and the commands that it has begun. */
const FREE = /^(?:runtime\.execSync|storage\.usage$|\w+\.observe$)/u;

export class Daemons {
  readonly isManaged: boolean;
  readonly made = {
    takenOver: 0,
    handedOver: 0,
    thawed: 0,
    successor: 0,
    stoppedHanding: 0,
    formerDied: 0,
    nextDied: 0,
  };
  /** Hand-overs that began, whatever became of them. */
  freezes = 0;
  readonly calls: HandedCalls;
  readonly #world: World;
  readonly #random: Random;
  readonly #running = new Set<Instance>();
  #lock: Instance | undefined;
  /** Who listens on the take-over socket, and who accepts on the CRI socket. */
  #control: Instance | undefined;
  #acceptor: Instance | undefined;
  /** As the service manager knows it. */
  #main = 0;

  constructor(world: World, random: Random) {
    this.#world = world;
    this.#random = random;
    this.calls = new HandedCalls(world, random, this);
    this.isManaged = random.chance(0.5);
    world.outside.onEffect = (epoch, label) => this.#happens(epoch, label);
  }

  get running(): readonly Instance[] {
    return [...this.#running];
  }

  /** The one that answers lists from memory while it hands over. */
  get lister(): Instance | undefined {
    return this.running.find((one) => one.hasReleased && !one.hasPassed);
  }

  /** Who accepts connections of clients. */
  get acceptor(): Instance | undefined {
    return this.#acceptor;
  }

  /** Whether a client finds somebody. */
  get isReachable(): boolean {
    return this.connections().length > 0;
  }

  /** A hand-over is under way. */
  get isHanding(): boolean {
    return this.running.some((one) => one.isHandingOver);
  }

  readonly peers: HandingNode['peers'] = {
    identify: (pid) => this.#byPid(pid)?.identity,
    exists: ({ pid }) => this.#byPid(pid) !== undefined,
    kill: ({ pid }) => {
      const found = this.#byPid(pid);
      if (found !== undefined) this.kill(found);
    },
    terminate: ({ pid }) => {
      const found = this.#byPid(pid);
      if (found !== undefined) this.#terminate(found);
    },
  };

  #byPid(pid: number): Instance | undefined {
    return this.running.find((one) => one.pid === pid);
  }

  /** SIGTERM: one that does not serve yet has no handler for it. */
  #terminate(instance: Instance): void {
    if (instance === this.#acceptor) this.#asksToEnd(instance, () => () => undefined);
    else this.kill(instance);
  }

  /** Starts a process. @param parent the daemon that starts it, if one does */
  start(isTakingOver: boolean, parent?: Instance): Instance {
    const instance = new Instance(this.#world, this, parent);
    this.#running.add(instance);
    instance.begin(isTakingOver).catch((thrown: unknown) => {
      this.#world.history.note(`daemon ${instance.epoch} ended: ${String(thrown)}`);
      this.ended(instance);
    });
    return instance;
  }

  /** The service manager starts the daemon. */
  startMain(): void {
    this.#main = this.start(false).pid;
  }

  /** Somebody asks for another daemon in place of the one that serves; false when none does. */
  takeOver(): boolean {
    const former = this.#control;
    if (former === undefined) return false;
    this.made.takenOver += 1;
    void former.next.start().catch((thrown: unknown) => this.#world.history.note(String(thrown)));
    return true;
  }

  /** SIGKILL. */
  kill(instance: Instance): void {
    if (!this.#running.has(instance)) return;
    if (instance.handing.state !== 'serving') this.made.formerDied += 1;
    else if (this.#running.size > 1) this.made.nextDied += 1;
    this.#world.outside.killed(instance.epoch);
    this.#world.hungDisk.killed(instance.epoch);
    this.ended(instance);
  }

  /** One of those that run dies, or with `power` all do. */
  crash({ power }: { readonly power: boolean }): void {
    if (power) {
      for (const instance of this.running) this.#forget(instance);
      this.#restart();
    } else if (this.#running.size > 0) this.kill(this.#random.pick(this.running));
  }

  /** The daemon that takes over dies while it is waited for effects of the one that hands over; where there is one. */
  killNextWhileLanding(): void {
    const former = this.running.find((one) => one.isHandingOver && one.landing().length > 0);
    const next = former && this.running.find(({ parent }) => parent === former);
    if (next !== undefined) this.kill(next);
  }

  /**
   * The one that serves, or hands over, is asked to end; `begins` is called then, and what it returns once it has
   * answered its calls. In a step of its own: it awaits before it sets its timers, and would set them after the next
   * step, which may take minutes. False where none can answer.
   */
  drain(begins: () => () => void): boolean {
    const handing = this.running.find((one) => one.isHandingOver);
    const instance = this.isManaged ? this.#byPid(this.#main) : (handing ?? this.#acceptor);
    // one that recovers has no answer to give yet, and ends at once
    if (instance === undefined || (instance !== this.#acceptor && !instance.isHandingOver)) return false;
    if (!instance.isStopping) this.#asksToEnd(instance, begins);
    return !instance.isStopping;
  }

  #asksToEnd(instance: Instance, begins: () => () => void): void {
    const { scheduler, history } = this.#world;
    scheduler.add(instance.epoch, 'the daemon is asked to end', () => {
      if (instance.isStopping) return;
      if (instance.isHandingOver) this.made.stoppedHanding += 1;
      void instance.drain(begins).then(() => {
        scheduler.add(instance.epoch, 'the daemon has ended', () => {
          for (const { epoch, parent, isPassedTo, hasReleased } of this.running)
            if (parent === instance && !isPassedTo && !hasReleased)
              history.wrongs.push(`F92 daemon ${epoch} goes on, and the one that has started it was stopped`);
          this.ended(instance);
        });
      });
    });
  }

  /** The process has gone, in whatever way. */
  ended(instance: Instance): void {
    if (!this.#running.has(instance)) return;
    const wasMain = instance.pid === this.#main;
    this.#forget(instance);
    if (this.#running.size === 0 || (this.isManaged && wasMain)) this.#restart();
  }

  #forget(instance: Instance): void {
    this.#running.delete(instance);
    if (this.#lock === instance) this.#lock = undefined;
    if (this.#control === instance) this.#control = undefined;
    if (this.#acceptor === instance) this.#acceptor = undefined;
    this.#world.leaves(instance.epoch);
    this.#world.scheduler.end(instance.epoch);
    instance.die();
  }

  #restart(): void {
    this.#world.scheduler.after(WORLD, RESTART_MS, () => {
      const isLeft = this.isManaged ? this.#byPid(this.#main) !== undefined : this.#running.size > 0;
      if (!isLeft) this.startMain();
    });
  }

  /** Throws `conflict` while another process has it. */
  takeLock(instance: Instance): void {
    // one that was killed in the step of its start
    if (!this.#running.has(instance)) fail('conflict', `lock the root: process ${instance.epoch} has gone`);
    if (this.#lock !== undefined) fail('conflict', `lock the root: process ${this.#lock.epoch} has it`);
    this.#lock = instance;
    this.#world.scheduler.lead(instance.epoch);
  }

  releaseLock(instance: Instance): void {
    if (this.#lock === instance) this.#lock = undefined;
  }

  /** A connection to who listens on the take-over socket. */
  dial(from: Instance): Link | undefined {
    const to = this.#control;
    if (to === undefined) return undefined;
    const [own, other] = LinkEnd.pair(this.#world.scheduler, from.epoch, to.epoch);
    from.links.add(own);
    to.links.add(other);
    void to
      .accept(new Link(other, to.clock), from.pid)
      .catch((thrown: unknown) =>
        this.#world.history.wrongs.push(`F92 the take-over socket failed: ${String(thrown)}`),
      );
    return new Link(own, from.clock);
  }

  /** Throws `conflict` while another process listens there. */
  listen(instance: Instance): void {
    if (this.#control !== undefined && this.#control !== instance)
      fail('conflict', `listen for daemons that take over: process ${this.#control.epoch} does`);
    this.#control = instance;
  }

  accepts(instance: Instance): void {
    this.#acceptor = instance;
  }

  /** It makes room on the take-over socket. */
  passes(instance: Instance): void {
    if (this.#control === instance) this.#control = undefined;
  }

  /** The process that has the lock. */
  get holder(): number | undefined {
    return this.#lock?.pid;
  }

  servedBy(pid: number): void {
    const next = this.#byPid(pid);
    if (next !== undefined) next.isPassedTo = true;
    if (this.isManaged) this.#main = pid;
  }

  /** Those over whose connections a client may call. */
  connections(): readonly Instance[] {
    return this.running.filter((one) => one === this.#acceptor || one.hasPassed);
  }

  /** Nobody but who has the lock touches the journal; who has released the node touches nothing. */
  #happens(epoch: number, label: string): void {
    const { wrongs } = this.#world.history;
    const instance = this.running.find((one) => one.epoch === epoch);
    if (label.startsWith('disk.') && this.#lock !== instance)
      wrongs.push(`F92 ${label} of daemon ${epoch}, which does not hold the lock`);
    else if (instance?.hasReleased === true && !FREE.test(label))
      wrongs.push(`F92 ${label} of daemon ${epoch}, which has released the node`);
  }

  /** After each step: nobody is forgotten, lists are answered at once, events arrive. */
  check(): string | undefined {
    for (const instance of this.#running) {
      const wrong = this.#checkOne(instance);
      if (wrong !== undefined) return `daemon ${instance.epoch}: ${wrong}`;
    }
    const late = this.calls.lateReads();
    if (late > 0) return `${late} lists wait for the hand-over`;
    for (const instance of this.#running)
      if (instance.isHolding && !instance.hasPassed) this.calls.read(instance);
    return undefined;
  }

  #checkOne(instance: Instance): string | undefined {
    if (instance.watch?.wrong !== undefined) return instance.watch.wrong;
    if (instance.forgottenEffects > 0) return 'effects wait at an open gate';
    if (instance.isHolding) return undefined;
    for (const { operation, at } of instance.held)
      if (at === 'waiting') return `${operation} waits, and nobody hands over`;
    return undefined;
  }

  /** At the end: one serves, has the lock, and nobody else is left. */
  checkSettled(): string | undefined {
    const [only, ...others] = this.#running;
    if (only === undefined || others.length > 0) return `${this.#running.size} daemons run`;
    if (this.#lock !== only || this.#acceptor !== only || this.#control !== only)
      return `daemon ${only.epoch} does not have the lock and both sockets`;
    return only.handing.state === 'serving' ? undefined : `daemon ${only.epoch} is ${only.handing.state}`;
  }
}
