/**
 * One machine: the outer state, and one instance of the daemon after the other on it, with the real journal and the
 * real wiring.
 */
import type { InspectionEvent } from 'xstate';
import type { Call } from '../../src/actors/directory/ask.ts';
import { createTroupe } from '../../src/actors/start-actors.ts';
import type { NetworkPort } from '../../src/ports/network.ts';
import { noPlugins } from '../../src/ports/nri.ts';
import type { NriPort } from '../../src/ports/nri.ts';
import type { PolicyPort } from '../../src/ports/policy.ts';
import type { DiskPort } from '../../src/ports/disk.ts';
import type { Ports } from '../../src/ports/ports.ts';
import { ledgerFold } from '../../src/actors/ledger/ledger.ts';
import type { Ledger } from '../../src/actors/ledger/ledger.ts';
import type { View } from '../../src/actors/directory/views.ts';
import type { Troupe } from '../../src/actors/troupe.ts';
import { fail, fault, FaultError } from '../../src/base/fault.ts';
import { silentLog } from '../../src/base/log.ts';
import { openJournal } from '../../src/journal/journal.ts';
import { Answers } from './answers.ts';
import { checkpointTwin } from './checkpoint-twin.ts';
import { DiskModel } from './disk-model.ts';
import { diskTwin } from './disk-twin.ts';
import { EventWatch } from './events.ts';
import { History } from './history.ts';
import { dropStaleLeases, hostTwin, networkTwin } from './host-network-twins.ts';
import { givenUp, HungDisk } from './hung-disk.ts';
import { Kernel } from './kernel.ts';
import { nriTwin } from './nri-twin.ts';
import { makeOlder } from './older-journal.ts';
import { Outside } from './outside.ts';
import { plantInDisk, plantInLedger, plantInPorts, plantInTroupe } from './planted.ts';
import type { Mutant } from './planted.ts';
import { FIXED, randomStream } from './random.ts';
import type { Random } from './random.ts';
import { aroundEffect, aroundEffects } from './record-effects.ts';
import type { Around } from './record-effects.ts';
import { sharedMachines } from './shared-machines.ts';
import { Surroundings } from './surroundings.ts';
import { runtimeTwin } from './runtime-twin.ts';
import { Scheduler, WORLD } from './scheduler.ts';
import type { Mode } from './scheduler.ts';
import { imagesTwin, policyTwin, storageTwin } from './storage-images-twins.ts';

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
  readonly #options: WorldOptions;
  readonly #ids: Random;
  readonly #power: Random;
  readonly #older: Random;
  readonly #diskTrouble: Random;
  /** The life that was asked to end. */
  #draining = 0;
  /** How each call in progress is lost when the daemon dies, and its operation. */
  readonly #lost = new Map<() => void, string>();

  constructor(options: WorldOptions) {
    const { seed } = options;
    this.#options = options;
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
    this.#ids = randomStream(seed, 'ids');
    this.#power = stream(seed, 'power');
    this.#older = stream(seed, 'older journals');
    this.kernel.unsynced.hasLeaseFiles = options.collects !== true;
    this.#diskTrouble = stream(seed, 'disk');
    this.disk.put('journal.reserve', new Uint8Array(RESERVE_BYTES));
    this.disk.syncLies = this.mutant === 'fsyncDropped';
    this.outside.landsLate = this.mutant === 'lateEffect';
    this.outside.helpersGoOn = this.mutant === 'helpersGoOn';
    this.kernel.unsynced.forgetsUnsynced = this.mutant === 'attachmentNotSynced';
    this.kernel.onStuck = () => void (this.made.stuck += 1);
    this.boot();
  }

  /** Commands are served. */
  get serving(): boolean {
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
    const around = this.#options.around?.(this) ?? {};
    if (this.#options.collects !== true) dropStaleLeases(this.kernel);
    if (this.#older.chance(this.#options.upgrades ?? 0) && makeOlder(this.disk)) this.made.olderJournal += 1;
    const disk = plantInDisk(this.mutant, this.#journalDisk(epoch, around));
    const opened = await openJournal<Ledger>({
      disk,
      fold: ledgerFold,
      log: silentLog,
      clock: this.scheduler.clock(epoch),
    });
    const checkpoints = checkpointTwin(this.kernel, this.outside, epoch, (step, work) =>
      aroundEffect(around, step, work),
    );
    await checkpoints.open();
    const isBusy = (owner: string): boolean => this.surroundings.isBusy(owner);
    const ports: Ports = {
      clock: this.scheduler.clock(epoch),
      random: { id: () => this.#hex(64), token: (bytes) => this.#hex(bytes * 2) },
      journal: opened.journal,
      host: hostTwin(this.kernel, this.outside, epoch, isBusy),
      network: this.#network(epoch),
      runtime: runtimeTwin(this.kernel, this.outside, epoch, this.surroundings),
      storage: storageTwin(this.kernel, this.outside, epoch, isBusy),
      images: imagesTwin(this.kernel, this.outside, epoch, () =>
        this.surroundings.isRegistryAway ? 'outside' : undefined,
      ),
      policy: this.#policy(epoch),
      nri: this.#plugins(epoch),
      checkpoints,
      // reads change nothing, so their twin has nothing to report
      stats: {
        container: () => undefined,
        details: () => fail('bug', 'no details in the simulation'),
        sandbox: () => undefined,
        interfaces: () => [],
        writtenLately: () => undefined,
        written: async () => undefined,
      },
      log: silentLog,
    };
    plantInLedger(this.mutant, opened.state, this.scheduler.nowMs);
    const troupe = createTroupe({
      ports: plantInPorts(
        this.mutant,
        this.#options.around === undefined ? ports : aroundEffects(ports, around),
        this.kernel,
      ),
      ledger: opened.state,
      machines: sharedMachines,
      ...(this.#options.inspect === undefined ? {} : { inspect: this.#options.inspect }),
    });
    plantInTroupe(this.mutant, troupe);
    this.ledger = opened.state;
    this.troupe = troupe;
    troupe.directory.listenToAll((view) => void (epoch === this.scheduler.epoch && this.onView?.(view)));
    await troupe.start();
    this.servingSinceMs = this.scheduler.nowMs;
    this.events = new EventWatch(troupe.directory, this.scheduler.clock(epoch), this.#ended.signal);
  }

  #network(epoch: number): NetworkPort {
    const collects = this.#options.collects === true;
    return networkTwin(this.kernel, this.outside, epoch, collects, this.surroundings);
  }

  #plugins(epoch: number): NriPort {
    if (this.#options.hasPlugins !== true) return noPlugins;
    return nriTwin(this.outside, epoch, this.kernel.wrongs, this.surroundings);
  }

  #policy(epoch: number): PolicyPort {
    const { surroundings } = this;
    const refuses = (): boolean => {
      if (surroundings.refusesImages) surroundings.made.imageRefused += 1;
      return surroundings.refusesImages;
    };
    return policyTwin(this.kernel, this.outside, epoch, {
      refuses,
      scope: () => String(surroundings.policyVersion),
      isRegistryAway: () => surroundings.isRegistryAway,
    });
  }

  /** The disk below the journal, whose operations fail, hang, and are held by `around`. */
  #journalDisk(epoch: number, around: Around): DiskPort {
    return diskTwin(this.disk, (operation, effect, failed) => {
      const fails = this.#diskTrouble.chance(this.diskErrorRate);
      if (fails && failed !== undefined) this.made.syncError += 1;
      const run = fails && failed !== undefined ? failed : effect;
      return aroundEffect(around, `disk.${operation}`, () => {
        const call = (what: typeof effect) =>
          this.outside.call(epoch, `disk.${operation}`, undefined, [], what);
        const held = this.hungDisk.heldWrite(epoch, effect);
        return held === undefined
          ? call(run)
          : held.then((gaveUp) => call(gaveUp ? (failed ?? givenUp) : effect));
      });
    });
  }

  /** The daemon is asked to end, as by SIGTERM (F12), and begins anew once it has; it may die on the way. */
  drain(): void {
    const { troupe, scheduler } = this;
    const { epoch } = scheduler;
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
    this.scheduler.nextEpoch();
    this.troupe = undefined;
    this.ledger = undefined;
    this.events = undefined;
    this.surroundings.node = undefined;
    this.#ended.abort();
    this.#ended = new AbortController();
    this.crashes += 1;
    this.servingSinceMs = Infinity;
    if (options.power) {
      this.powerLosses += 1;
      this.outside.lostPower();
      this.hungDisk.lostPower();
      this.kernel.losePower();
      this.disk.losePower(this.#power);
      this.history.powerLost();
    } else {
      this.outside.killed();
      this.hungDisk.killed();
    }
    for (const lost of this.#lost.keys()) lost();
    this.#lost.clear();
    const { epoch } = this.scheduler;
    this.scheduler.after(epoch, RESTART_MS, () => this.boot());
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
        scheduler.add(WORLD, `${operation} is lost`, () =>
          reject(new FaultError(fault('cancelled', `${operation}: connection lost`))),
        );
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

  #hex(digits: number): string {
    return Array.from({ length: digits }, () => this.#ids.int(16).toString(16)).join('');
  }
}
