/**
 * Planted faults of ours: a simulation that does not find them proves nothing. Each changes what
 * the daemon's actors see of their ports, or of their directory, as the bug in their own code would.
 */
import type { JournalPort, JournalRecord } from '../../src/ports/journal.ts';
import type { Ports } from '../../src/ports/ports.ts';
import type { Troupe } from '../../src/actors/troupe.ts';
import type { Kernel } from './kernel.ts';

export const MUTANTS = [
  'nameReleasedEarly',
  'fsyncDropped',
  'delSkipped',
  'exitFileDeletedEarly',
  'lateEffect',
  'helpersGoOn',
  'outcomeShownEarly',
  'undoListLost',
] as const;

export type Mutant = 'none' | (typeof MUTANTS)[number];

/** The ports as a daemon with this fault uses them. */
export function plantInPorts(mutant: Mutant, ports: Ports, kernel: Kernel): Ports {
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

/** What is wrong with the daemon beside its ports. */
export function plantInTroupe(mutant: Mutant, { directory }: Troupe): void {
  if (mutant !== 'nameReleasedEarly') return;
  const sandboxes = directory.sandboxesByName.bind(directory);
  const containers = directory.containersByName.bind(directory);
  directory.sandboxesByName = (key) => sandboxes(key).filter((view) => view.settled);
  directory.containersByName = (key) => containers(key).filter((view) => view.settled);
}
