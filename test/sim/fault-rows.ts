/** The F rows of the kinds of fault that the simulation counts. */
import { injects } from '../support/faults/injects.ts';

const FAULTS = {
  drained: injects('F12', 'SIGTERM with calls in flight, simulated'),
  syncError: injects('F19', 'EIO from fsync of the journal, simulated'),
  diskFull: injects('F21', 'ENOSPC on the disk of the journal, simulated'),
  monitorKilled: injects('F38', 'the end of a monitor before its container, simulated'),
  stuck: injects('F45', 'a process that ignores KILL for a while, simulated'),
  clockSet: injects('F78', 'a wall clock that is set by up to a year, simulated'),
  sandboxBroken: injects('F85', 'a pause process, mount or cgroup taken away by others, simulated'),
} as const;

/** Reports the faults of many seeds: how often each kind was made. */
export function reportFaults(made: ReadonlyMap<string, number>): void {
  for (const [kind, fault] of Object.entries(FAULTS)) {
    const times = made.get(kind) ?? 0;
    if (times > 0) fault.happened(times);
  }
}
