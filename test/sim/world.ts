/**
 * One machine: the outer state, and one instance of the daemon after the other on it, with the real journal and the
 * real wiring.
 */
import type { InspectionEvent } from 'xstate';
import type { Call } from '../../src/actors/directory/ask.ts';
import type { Ledger } from '../../src/actors/ledger/ledger.ts';
import type { View } from '../../src/actors/directory/views.ts';
import type { Troupe } from '../../src/actors/troupe.ts';
import { fault, FaultError } from '../../src/base/fault.ts';
import { Answers } from './answers.ts';
import { lostCall } from './client.ts';
import { DiskModel } from './disk-model.ts';
import { EventWatch } from './events.ts';
import { Daemons } from './daemons.ts';
import { History } from './history.ts';
import { Lives } from './life.ts';
import type { Life } from './life.ts';
import { HungDisk } from './hung-disk.ts';
import { Kernel } from './kernel.ts';
import { Outside } from './outside.ts';
import type { Mutant } from './planted.ts';
import { FIXED, randomStream } from './random.ts';
import type { Random } from './random.ts';
import type { Around } from './record-effects.ts';
import { Surroundings } from './surroundings.ts';
import { Scheduler, WORLD } from './scheduler.ts';
import type { Mode } from './scheduler.ts';

export interface WorldOptions {
  readonly seed: number;
  readonly mutant?: Mutant;
  readonly mode?: Mode;
  /** Changes of priorities with mode `pct`; drawn where not given. */
  readonly changes?: number;
  /** Draws nothing but ids: what is drawn elsewhere is the middle. */
  readonly fixed?: boolean;
  /** Whether an NRI plugin is connected. */
  readonly hasPlugins?: boolean;
  /** Whether the network's plugins can collect garbage (CNI 1.1). */
  readonly collects?: boolean;
  /** Chance that the instance before a boot was of an older version, which wrote the journal in its own way. */
  readonly upgrades?: number;
  /** Other daemons may take over. */
  readonly takesOver?: boolean;
  /** Sees every event of every actor of each boot. */
  readonly inspect?: (event: InspectionEvent) => void;
  /** Intercepts each effect of each boot, those of the journal's disk included. */
  readonly around?: (world: World) => Around;
}

/** Milliseconds after which the service manager starts the daemon again. */
const RESTART_MS = 100;
/**
 * Bytes of the reserve that stands on the disk from the begin: the real one of half a MiB would be most of the work.
 */
const RESERVE_BYTES = 4096;

export class World {
  readonly seed: number;
  readonly scheduler: Scheduler;
  readonly kernel: Kernel;
  readonly disk = new DiskModel();
  readonly outside: Outside;
  readonly hungDisk: HungDisk;
  readonly answers: Answers;
  readonly surroundings: Surroundings;
  readonly history = new History();
  readonly mutant: Mutant;
  /** Chance that a sync of the disk fails. */
  diskErrorRate = 0;
  /** The present life; undefined while it begins. */
  troupe: Troupe | undefined;
  ledger: Ledger | undefined;
  /** What the current instance sends to those who watch for events. */
  events: EventWatch | undefined;
  /** Called with each change of a view; undefined for nobody. */
  onView: ((view: View) => void) | undefined;
  #ended = new AbortController();
  /** Virtual milliseconds; `quietSinceMs` is endless while faults are made. */
  servingSinceMs = Infinity;
  quietSinceMs = Infinity;
  /** Faults that were made, beside those of the port calls. */
  readonly made = {
    syncError: 0,
    diskFull: 0,
    initKilled: 0,
    monitorKilled: 0,
    sandboxBroken: 0,
    drained: 0,
    stuck: 0,
    clockSet: 0,
    collected: 0,
    staleLists: 0,
    targeted: 0,
    olderJournal: 0,
  };
  crashes = 0;
  powerLosses = 0;
  /**
   * Operation that a client waits for, for the naming of effects; `start` until the first call of a life, then `idle`
   * between calls.
   */
  operation = 'start';
  readonly lives: Lives;
  /** In a world with take-overs: the processes of the daemon. */
  readonly daemons: Daemons | undefined;
  /** The instance that has the node. */
  #holder = 0;
  readonly #power: Random;
  /** The life that was asked to end. */
  #draining = 0;
  /** How each call in progress is lost when the daemon dies, and its operation. */
  readonly #lost = new Map<() => void, string>();

  constructor(options: WorldOptions) {
    const { seed } = options;
    this.seed = seed;
    this.mutant = options.mutant ?? 'none';
    const stream = options.fixed === true ? (): Random => FIXED : randomStream;
    this.scheduler = new Scheduler(seed, { mode: options.mode, changes: options.changes, stream });
    this.kernel = new Kernel(this.scheduler, stream(seed, 'kernel'));
    this.outside = new Outside(this.scheduler, stream(seed, 'faults'), stream(seed, 'helpers'));
    this.hungDisk = new HungDisk(this.scheduler, stream(seed, 'hung disk'));
    this.outside.hungDisk = this.hungDisk;
    this.answers = new Answers(this);
    this.surroundings = new Surroundings(this.scheduler, this.history);
    this.lives = new Lives(this, options, stream);
    this.#power = stream(seed, 'power');
    this.kernel.unsynced.hasLeaseFiles = options.collects !== true;
    this.disk.put('journal.reserve', new Uint8Array(RESERVE_BYTES));
    this.disk.syncLies = this.mutant === 'fsyncDropped';
    this.outside.landsLate = this.mutant === 'lateEffect';
    this.outside.helpersGoOn = this.mutant === 'helpersGoOn';
    this.kernel.unsynced.forgetsUnsynced = this.mutant === 'attachmentNotSynced';
    this.kernel.onStuck = () => void (this.made.stuck += 1);
    if (options.takesOver === true) this.daemons = new Daemons(this, stream(seed, 'take-overs'));
    if (this.daemons === undefined) this.boot();
    else this.scheduler.add(WORLD, 'the daemon is started', () => this.daemons?.startMain());
  }

  /** A client finds somebody who answers it, and its lists at once. */
  get serving(): boolean {
    return this.daemons === undefined ? this.isRecovered : this.isReachable && this.listed !== undefined;
  }

  /** A client finds somebody who answers, soon or later. */
  get isReachable(): boolean {
    return this.daemons?.isReachable ?? this.isRecovered;
  }

  /** Whose views clients read. */
  get listed(): Troupe | undefined {
    if (this.daemons === undefined || this.isRecovered) return this.troupe;
    return this.daemons.lister?.life?.troupe;
  }

  /** Commands are carried out. */
  get isRecovered(): boolean {
    return this.troupe !== undefined && this.troupe.notReadyReason() === undefined;
  }

  /** How often each kind of fault was made. */
  get faults(): Readonly<Record<string, number>> {
    const { crashes, powerLosses, scheduler } = this;
    return {
      kill: crashes - powerLosses,
      powerLoss: powerLosses,
      ...this.outside.made,
      ...this.made,
      ...this.hungDisk.made,
      ...this.answers.kept,
      ...this.surroundings.made,
      ...this.kernel.unsynced.lost,
      ...(this.daemons === undefined ? {} : { ...this.daemons.made, relayed: this.daemons.calls.relayed }),
      timerFirst: scheduler.hurried,
    };
  }

  /** Begins a life; one that fails to begin is begun again later. */
  boot(): void {
    this.scheduler.nextEpoch();
    const { epoch } = this.scheduler;
    this.operation = 'start';
    this.#life(epoch).catch((thrown: unknown) => {
      if (epoch !== this.scheduler.epoch) return;
      this.history.note(`start failed: ${String(thrown)}`);
      this.scheduler.after(epoch, RESTART_MS, () => this.crash({ power: false }));
    });
  }

  async #life(epoch: number): Promise<void> {
    const life = await this.lives.begin(epoch);
    this.enters(epoch, life);
    await life.troupe.start();
    this.serves(epoch, life);
  }

  /** This instance has the node from now on. */
  enters(epoch: number, { opened, troupe }: Life): void {
    this.#holder = epoch;
    this.ledger = opened.state;
    this.troupe = troupe;
    troupe.directory.listenToAll((view) => void (epoch === this.scheduler.epoch && this.onView?.(view)));
  }

  /** It has recovered. */
  serves(epoch: number, { troupe }: Life): void {
    this.servingSinceMs = this.scheduler.nowMs;
    this.events = new EventWatch(troupe.directory, this.scheduler.clock(epoch), this.#ended.signal);
  }

  /** It does not have the node any more, if it had. */
  leaves(epoch: number): void {
    if (epoch !== this.#holder) return;
    this.troupe = undefined;
    this.ledger = undefined;
    this.events = undefined;
    this.surroundings.node = undefined;
    this.#ended.abort();
    this.#ended = new AbortController();
    this.servingSinceMs = Infinity;
  }

  /** The daemon is asked to end, as by SIGTERM (F12), and begins anew once it has; it may die on the way. */
  drain(): void {
    const { troupe, scheduler, daemons } = this;
    const { epoch } = scheduler;
    if (daemons !== undefined) {
      if (daemons.drain(() => this.answers.drains())) this.made.drained += 1;
      return;
    }
    if (troupe === undefined || this.#draining === epoch) return;
    this.#draining = epoch;
    this.made.drained += 1;
    if (this.mutant === 'lockReleasedEarly') {
      // the next instance begins while calls of this one are still at work
      this.outside.helpersGoOn = true;
      this.crash({ power: false });
      this.outside.helpersGoOn = false;
      return;
    }
    const drained = this.answers.drains();
    void troupe.drain().then(() => {
      drained();
      scheduler.add(epoch, 'the daemon has ended', () => this.crash({ power: false }));
    });
  }

  /** The daemon dies; with `power` the machine does. A new life begins a little later. */
  crash(options: { readonly power: boolean }): void {
    this.crashes += 1;
    if (this.daemons !== undefined) {
      if (options.power) this.#losePower();
      this.daemons.crash(options);
      return;
    }
    const { epoch: killed } = this.scheduler;
    this.scheduler.nextEpoch();
    this.leaves(killed);
    if (options.power) this.#losePower();
    else {
      this.outside.killed(killed);
      this.hungDisk.killed(killed);
    }
    for (const lost of this.#lost.keys()) lost();
    this.#lost.clear();
    const { epoch } = this.scheduler;
    this.scheduler.after(epoch, RESTART_MS, () => this.boot());
  }

  #losePower(): void {
    this.powerLosses += 1;
    this.outside.lostPower();
    this.hungDisk.lostPower();
    this.kernel.losePower();
    this.disk.losePower(this.#power);
    this.history.powerLost();
  }

  /**
   * A call of a client. Rejects with `notReady` while nothing is served and with `cancelled` when the daemon dies
   * before the answer has arrived.
   */
  call<T>(
    operation: string,
    deadlineMs: number,
    work: (troupe: Troupe, call: Call) => Promise<T>,
  ): Promise<T> {
    if (this.daemons !== undefined) return this.daemons.calls.call(operation, deadlineMs, work);
    const { troupe, scheduler } = this;
    if (troupe === undefined || !this.serving) {
      return Promise.reject(new FaultError(fault('notReady', `${operation}: connection refused`)));
    }
    const { epoch } = scheduler;
    this.operation = operation;
    const controller = new AbortController();
    const answered = this.answers.begin(operation, deadlineMs);
    return new Promise<T>((resolve, reject) => {
      const lose = (): void =>
        scheduler.add(WORLD, `${operation} is lost`, () => reject(lostCall(operation)));
      this.#lost.set(lose, operation);
      const answer = (what: string, act: () => void): void =>
        scheduler.add(epoch, `${operation} ${what}`, () => {
          this.#lost.delete(lose);
          if (this.operation === operation) this.operation = 'idle';
          act();
        });
      const call: Call = {
        cause: { requestId: operation, origin: operation },
        signal: controller.signal,
        deadlineMonoMs: scheduler.nowMs + deadlineMs,
      };
      // an async frame: what a command throws at once is an answer too
      void (async () => work(troupe, call))().then(
        (value) => {
          answered();
          answer('says ok', () => resolve(value));
        },
        (thrown: unknown) => {
          answered(thrown instanceof FaultError ? thrown.fault : undefined);
          answer(`says no`, () => reject(thrown));
        },
      );
    });
  }

  /** Calls that have no answer yet, by operation. */
  calling(): readonly string[] {
    return [...this.#lost.values()].toSorted();
  }

  /** For clients: a wait that outlives the daemon. */
  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => void this.scheduler.after(WORLD, ms, resolve));
  }
}
