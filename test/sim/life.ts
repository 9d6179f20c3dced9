/** The parts of each instance of the daemon: the real journal and the real wiring over the twins. */
import { createTroupe } from '../../src/actors/start-actors.ts';
import type { NetworkPort } from '../../src/ports/network.ts';
import { noPlugins } from '../../src/ports/nri.ts';
import type { NriPort } from '../../src/ports/nri.ts';
import type { PolicyPort } from '../../src/ports/policy.ts';
import type { DiskPort } from '../../src/ports/disk.ts';
import type { Ports } from '../../src/ports/ports.ts';
import { ledgerFold } from '../../src/actors/ledger/ledger.ts';
import type { Ledger } from '../../src/actors/ledger/ledger.ts';
import type { Troupe } from '../../src/actors/troupe.ts';
import { fail } from '../../src/base/fault.ts';
import { silentLog } from '../../src/base/log.ts';
import { openJournal } from '../../src/journal/journal.ts';
import type { OpenJournal } from '../../src/journal/journal.ts';
import { checkpointTwin } from './checkpoint-twin.ts';
import { diskTwin } from './disk-twin.ts';
import { dropStaleLeases, hostTwin, networkTwin } from './host-network-twins.ts';
import { givenUp } from './hung-disk.ts';
import { nriTwin } from './nri-twin.ts';
import { makeOlder } from './older-journal.ts';
import { plantInDisk, plantInLedger, plantInPorts, plantInTroupe } from './planted.ts';
import { randomStream } from './random.ts';
import type { Random } from './random.ts';
import { aroundEffect, aroundEffects } from './record-effects.ts';
import type { Around } from './record-effects.ts';
import { sharedMachines } from './shared-machines.ts';
import { runtimeTwin } from './runtime-twin.ts';
import { imagesTwin, policyTwin, storageTwin } from './storage-images-twins.ts';
import type { World, WorldOptions } from './world.ts';

/** One instance, before its actors are started. */
export interface Life {
  readonly opened: OpenJournal<Ledger>;
  readonly troupe: Troupe;
}

export class Lives {
  readonly #world: World;
  readonly #options: WorldOptions;
  readonly #ids: Random;
  readonly #older: Random;
  readonly #diskTrouble: Random;

  constructor(world: World, options: WorldOptions, stream: typeof randomStream) {
    const { seed } = options;
    this.#world = world;
    this.#options = options;
    this.#ids = randomStream(seed, 'ids');
    this.#older = stream(seed, 'older journals');
    this.#diskTrouble = stream(seed, 'disk');
  }

  /** Opens the journal and puts an instance together, from which nothing has begun yet. `machines`: its set of them. */
  async begin(epoch: number, machines = 0): Promise<Life> {
    const { kernel, outside, scheduler, mutant, surroundings } = this.#world;
    const around = this.#options.around?.(this.#world) ?? {};
    if (this.#options.collects !== true) dropStaleLeases(kernel);
    if (this.#older.chance(this.#options.upgrades ?? 0) && makeOlder(this.#world.disk))
      this.#world.made.olderJournal += 1;
    const disk = plantInDisk(mutant, this.#journalDisk(epoch, around));
    const opened = await openJournal<Ledger>({
      disk,
      fold: ledgerFold,
      log: silentLog,
      clock: scheduler.clock(epoch),
    });
    const checkpoints = checkpointTwin(kernel, outside, epoch, (step, work) =>
      aroundEffect(around, step, work),
    );
    await checkpoints.open();
    const isBusy = (owner: string): boolean => surroundings.isBusy(owner);
    const ports: Ports = {
      clock: scheduler.clock(epoch),
      random: { id: () => this.#hex(64), token: (bytes) => this.#hex(bytes * 2) },
      journal: opened.journal,
      host: hostTwin(kernel, outside, epoch, isBusy),
      network: this.#network(epoch),
      runtime: runtimeTwin(kernel, outside, epoch, surroundings),
      storage: storageTwin(kernel, outside, epoch, isBusy),
      images: imagesTwin(kernel, outside, epoch, () => (surroundings.isRegistryAway ? 'outside' : undefined)),
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
    plantInLedger(mutant, opened.state, scheduler.nowMs);
    const troupe = createTroupe({
      ports: plantInPorts(
        mutant,
        this.#options.around === undefined ? ports : aroundEffects(ports, around),
        kernel,
      ),
      ledger: opened.state,
      machines: sharedMachines(machines),
      // effects wait for each other
      processors: 1,
      ...(this.#options.inspect === undefined ? {} : { inspect: this.#options.inspect }),
    });
    plantInTroupe(mutant, troupe);
    return { opened, troupe };
  }

  #network(epoch: number): NetworkPort {
    const { kernel, outside, surroundings } = this.#world;
    return networkTwin(kernel, outside, epoch, this.#options.collects === true, surroundings);
  }

  #plugins(epoch: number): NriPort {
    if (this.#options.hasPlugins !== true) return noPlugins;
    return nriTwin(this.#world.outside, epoch, this.#world.kernel.wrongs, this.#world.surroundings);
  }

  #policy(epoch: number): PolicyPort {
    const { surroundings, kernel, outside } = this.#world;
    const refuses = (): boolean => {
      if (surroundings.refusesImages) surroundings.made.imageRefused += 1;
      return surroundings.refusesImages;
    };
    return policyTwin(kernel, outside, epoch, {
      refuses,
      scope: () => String(surroundings.policyVersion),
      isRegistryAway: () => surroundings.isRegistryAway,
    });
  }

  /** The disk below the journal, whose operations fail, hang, and are held by `around`. */
  #journalDisk(epoch: number, around: Around): DiskPort {
    const { disk, outside, hungDisk, made } = this.#world;
    return diskTwin(disk, (operation, effect, failed) => {
      const fails = this.#diskTrouble.chance(this.#world.diskErrorRate);
      if (fails && failed !== undefined) made.syncError += 1;
      const run = fails && failed !== undefined ? failed : effect;
      return aroundEffect(around, `disk.${operation}`, () => {
        const call = (what: typeof effect) => outside.call(epoch, `disk.${operation}`, undefined, [], what);
        const held = hungDisk.heldWrite(epoch, effect);
        return held === undefined
          ? call(run)
          : held.then((gaveUp) => call(gaveUp ? (failed ?? givenUp) : effect));
      });
    });
  }

  #hex(digits: number): string {
    return Array.from({ length: digits }, () => this.#ids.int(16).toString(16)).join('');
  }
}
