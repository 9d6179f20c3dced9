/**
 * Planted faults of ours: a simulation that does not find them proves nothing. Each changes what
 * the daemon's actors see of their ports, or of their directory, as the bug in their own code would.
 */
import { FaultError } from '../../src/base/fault.ts';
import type { JournalPort, JournalRecord } from '../../src/ports/journal.ts';
import type { DiskPort } from '../../src/ports/disk.ts';
import type { Ports } from '../../src/ports/ports.ts';
import type { Troupe } from '../../src/actors/troupe.ts';
import type { Ledger } from '../../src/actors/ledger/ledger.ts';
import type { Kernel } from './kernel.ts';
import { DRIVER_PLANTS } from './planted-drivers.ts';
import { closeLastRecord } from './half-record.ts';

/** Of a hand-over, planted in `instance.ts`. */
const TAKE_OVER_PLANTS = [
  'gateLeftOpen',
  'recordAfterShut',
  'freezeAnswered',
  'lockBeforeJournal',
  'thawForgets',
  'nextLeft',
  'landingGoesOn',
  'markForgotten',
] as const;
export const TAKE_OVER_MUTANTS: ReadonlySet<string> = new Set(TAKE_OVER_PLANTS);

export const MUTANTS = [
  'nameReleasedEarly',
  'fsyncDropped',
  'delSkipped',
  'exitFileDeletedEarly',
  'lateEffect',
  'helpersGoOn',
  'outcomeShownEarly',
  'undoListLost',
  ...(Object.keys(DRIVER_PLANTS) as (keyof typeof DRIVER_PLANTS)[]),
  'createJoinsOther',
  'eventBeforeCommit',
  'graceRestarted',
  'halfRecordTrusted',
  'lockReleasedEarly',
  'attachmentNotSynced',
  ...TAKE_OVER_PLANTS,
] as const;

export type Mutant = 'none' | (typeof MUTANTS)[number];

const isDriverPlant = (mutant: Mutant): mutant is keyof typeof DRIVER_PLANTS => mutant in DRIVER_PLANTS;

/** What a call has thrown, as a daemon with this fault throws it. */
export function plantInError(mutant: Mutant, thrown: unknown): unknown {
  if (mutant !== 'markForgotten' || !(thrown instanceof FaultError)) return thrown;
  const { endedByHandOver: _mark, ...unmarked } = thrown.fault;
  return new FaultError(unmarked);
}

/** The ports as a daemon with this fault uses them. */
export function plantInPorts(mutant: Mutant, ports: Ports, kernel: Kernel): Ports {
  if (isDriverPlant(mutant)) return DRIVER_PLANTS[mutant](ports, kernel);
  const { journal } = ports;
  const withAppend = (append: JournalPort['append']): Ports => ({
    ...ports,
    journal: { ...journal, append },
  });
  switch (mutant) {
    case 'delSkipped':
      return { ...ports, network: { ...ports.network, del: () => Promise.resolve() } };
    case 'exitFileDeletedEarly':
      return withAppend((records, options) => {
        for (const record of records)
          if (record.type === 'container.exited') kernel.exitFiles.delete(record.id);
        return journal.append(records, options);
      });
    case 'outcomeShownEarly':
      return withAppend((records, options) => {
        journal.append(records, options).catch(() => undefined);
        return Promise.resolve();
      });
    case 'undoListLost':
      return withAppend((records, options) => journal.append(records.map(withoutPendingCleanup), options));
    default:
      return ports;
  }
}

function withoutPendingCleanup(record: JournalRecord): JournalRecord {
  return record.type === 'sandbox.stopped' ? { ...record, owed: [] } : record;
}

/** The disk below the journal. A record that the disk has a part of is taken for whole, as far as it goes. */
export function plantInDisk(mutant: Mutant, disk: DiskPort): DiskPort {
  if (mutant !== 'halfRecordTrusted') return disk;
  return { ...disk, read: (name) => disk.read(name).then((bytes) => bytes && closeLastRecord(bytes)) };
}

/** What is wrong with the daemon beside its ports. */
export function plantInTroupe(mutant: Mutant, { directory }: Troupe): void {
  const sandboxes = directory.sandboxesByName.bind(directory);
  const containers = directory.containersByName.bind(directory);
  const listenToAll = directory.listenToAll.bind(directory);
  switch (mutant) {
    case 'nameReleasedEarly':
      directory.sandboxesByName = (key) => sandboxes(key).filter((view) => view.settled);
      directory.containersByName = (key) => containers(key).filter((view) => view.settled);
      break;
    // a create joins whatever has this name, in any pod
    case 'createJoinsOther':
      directory.containersByName = ({ name }) =>
        directory.containers().filter((view) => view.spec.key.name === name);
      break;
    // what is being made is reported as made
    case 'eventBeforeCommit':
      directory.listenToAll = (listener) =>
        listenToAll((view, gone) => listener(view.kind === 'pull' ? view : { ...view, listed: true }, gone));
      break;
    default:
      break;
  }
}

/** The grace period that the mutant gives to each stop that it finds after a boot. */
const GRACE_MS = 60_000;

/** What is wrong with how the daemon begins: its records, before anything acts on them. */
export function plantInLedger(mutant: Mutant, { containers }: Ledger, nowMs: number): void {
  if (mutant !== 'graceRestarted') return;
  const killAtMonoMs = Math.round(nowMs) + GRACE_MS;
  for (const [id, facts] of containers) {
    const { stopping } = facts;
    if (stopping !== undefined) containers.set(id, { ...facts, stopping: { ...stopping, killAtMonoMs } });
  }
}
