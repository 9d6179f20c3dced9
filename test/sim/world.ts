/** One machine: the outer state, and one life of the daemon after the other on it, made of the real journal and the real cast. */
import type { Call } from '../../src/actors/ask.ts';
import { createTroupe } from '../../src/actors/cast.ts';
import type { Ports } from '../../src/actors/ports/ports.ts';
import { ledgerFold } from '../../src/actors/recovery/ledger.ts';
import type { Ledger } from '../../src/actors/recovery/ledger.ts';
import type { Troupe } from '../../src/actors/troupe.ts';
import { fault, FaultError } from '../../src/base/fault.ts';
import { silentLog } from '../../src/base/log.ts';
import { openJournal } from '../../src/journal/journal.ts';
import { DiskModel } from './disk-model.ts';
import { diskTwin } from './disk-twin.ts';
import { History } from './history.ts';
import { hostTwin, networkTwin } from './host-network-twins.ts';
import { Kernel } from './kernel.ts';
import { Outside } from './outside.ts';
import { randomStream } from './random.ts';
import type { Random } from './random.ts';
import { runtimeTwin } from './runtime-twin.ts';
import { Scheduler, WORLD } from './scheduler.ts';
import { imagesTwin, storageTwin } from './storage-images-twins.ts';

/** A planted fault of ours that the harness has to find. */
export type Mutant = 'none' | 'nameReleasedEarly' | 'fsyncDropped';

export interface WorldOptions {
  readonly seed: number;
  readonly mutant?: Mutant;
  /** Around the ports of each life. */
  readonly wrap?: (ports: Ports, world: World) => Ports;
}

/** Milliseconds after which the service manager starts the daemon again. */
const RESTART_MS = 100;
/** Bytes of the reserve that stands on the disk from the begin: the real one of half a MiB would be most of the work. */
const RESERVE_BYTES = 4096;

export class World {
  readonly seed: number;
  readonly scheduler: Scheduler;
  readonly kernel: Kernel;
  readonly disk = new DiskModel();
  readonly outside: Outside;
  readonly history = new History();
  readonly mutant: Mutant;
  /** Chance that a sync of the disk fails. */
  diskErrorRate = 0;
  /** The present life; undefined while it begins. */
  troupe: Troupe | undefined;
  ledger: Ledger | undefined;
  /** Virtual milliseconds; `quietSinceMs` is endless while faults are made. */
  servingSinceMs = Infinity;
  quietSinceMs = Infinity;
  crashes = 0;
  powerLosses = 0;
  /** Operation that a client waits for, for the naming of effects. */
  operation = 'start';
  readonly #options: WorldOptions;
  readonly #ids: Random;
  readonly #power: Random;
  readonly #diskTrouble: Random;
  readonly #lost = new Set<() => void>();

  constructor(options: WorldOptions) {
    const { seed } = options;
    this.#options = options;
    this.seed = seed;
    this.mutant = options.mutant ?? 'none';
    this.scheduler = new Scheduler(seed);
    this.kernel = new Kernel(this.scheduler, randomStream(seed, 'kernel'));
    this.outside = new Outside(this.scheduler, randomStream(seed, 'faults'));
    this.#ids = randomStream(seed, 'ids');
    this.#power = randomStream(seed, 'power');
    this.#diskTrouble = randomStream(seed, 'disk');
    this.disk.put('journal.reserve', new Uint8Array(RESERVE_BYTES));
    this.disk.syncLies = this.mutant === 'fsyncDropped';
    this.boot();
  }

  /** Commands are served. */
  get serving(): boolean {
    return this.troupe !== undefined && this.troupe.notReadyReason() === undefined;
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
    const disk = diskTwin(this.disk, (operation, effect, failed) => {
      const fails = this.#diskTrouble.chance(this.diskErrorRate);
      const run = fails && failed !== undefined ? failed : effect;
      return this.outside.call(epoch, `disk.${operation}`, undefined, [], run);
    });
    const opened = await openJournal<Ledger>({ disk, fold: ledgerFold, log: silentLog });
    const ports: Ports = {
      clock: this.scheduler.clock(epoch),
      random: { id: () => this.#hex(64), token: (bytes) => this.#hex(bytes * 2) },
      journal: opened.journal,
      host: hostTwin(this.kernel, this.outside, epoch),
      network: networkTwin(this.kernel, this.outside, epoch),
      runtime: runtimeTwin(this.kernel, this.outside, epoch),
      storage: storageTwin(this.kernel, this.outside, epoch),
      images: imagesTwin(this.kernel, this.outside, epoch),
      // readings change nothing, so their twin has nothing to tell
      stats: { container: () => undefined, sandbox: () => undefined, interfaces: () => [], written: async () => undefined },
      log: silentLog,
    };
    const troupe = createTroupe({ ports: this.#options.wrap?.(ports, this) ?? ports, ledger: opened.state });
    if (this.mutant === 'nameReleasedEarly') releaseNamesEarly(troupe);
    this.ledger = opened.state;
    this.troupe = troupe;
    await troupe.start();
    this.servingSinceMs = this.scheduler.nowMs;
    if (this.operation === 'start') this.operation = 'idle';
  }

  /** The daemon dies; with `power` the machine does. A new life begins a little later. */
  crash(options: { readonly power: boolean }): void {
    this.scheduler.nextEpoch();
    this.troupe = undefined;
    this.ledger = undefined;
    this.crashes += 1;
    this.servingSinceMs = Infinity;
    if (options.power) {
      this.powerLosses += 1;
      this.kernel.losePower();
      this.disk.losePower(this.#power);
      this.history.powerLost();
    }
    for (const lost of this.#lost) lost();
    this.#lost.clear();
    const { epoch } = this.scheduler;
    this.scheduler.after(epoch, RESTART_MS, () => this.boot());
  }

  /**
   * A call of a client. Rejects with `notReady` while nothing is served and with `cancelled` when the daemon dies
   * before the answer has arrived.
   */
  call<T>(operation: string, deadlineMs: number, work: (troupe: Troupe, call: Call) => Promise<T>): Promise<T> {
    const { troupe, scheduler } = this;
    if (troupe === undefined || !this.serving) {
      return Promise.reject(new FaultError(fault('notReady', `${operation}: connection refused`)));
    }
    const { epoch } = scheduler;
    this.operation = operation;
    const controller = new AbortController();
    return new Promise<T>((resolve, reject) => {
      const lose = (): void => scheduler.add(WORLD, `${operation} is lost`, () => reject(new FaultError(fault('cancelled', `${operation}: connection lost`))));
      this.#lost.add(lose);
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
        (value) => answer('says ok', () => resolve(value)),
        (thrown: unknown) => answer(`says no`, () => reject(thrown)),
      );
    });
  }

  /** For clients: a wait that outlives the daemon. */
  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => void this.scheduler.after(WORLD, ms, resolve));
  }

  #hex(digits: number): string {
    return Array.from({ length: digits }, () => this.#ids.int(16).toString(16)).join('');
  }
}

/** The mutant: names of what is not settled are free. */
function releaseNamesEarly({ directory }: Troupe): void {
  const sandboxes = directory.sandboxesByKey.bind(directory);
  const containers = directory.containersByName.bind(directory);
  directory.sandboxesByKey = (key) => sandboxes(key).filter((view) => view.settled);
  directory.containersByName = (key) => containers(key).filter((view) => view.settled);
}
