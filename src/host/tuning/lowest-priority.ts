/**
 * Lets a thread use only the processor time that no other thread of the daemon wants. Two storage workers that unpack
 * keep two processors busy: a pod that started beside ten pulls took 2.9 times as long as alone, and 1.5 times with
 * this (`npm run bench -- images --only beside`). A nice value counts only within a control group, so where the daemon
 * has one of its own (systemd, cgroup v2) busy pods do not hold up a pull.
 */
import { setPriority } from 'node:os';
import { priorityLimits } from '../bounds.ts';

/** Gives the calling thread the lowest priority: on Linux setpriority(2) is about threads, and 0 is the caller. */
export function takeLowestPriority(): void {
  setPriority(0, priorityLimits.lowestNice);
}
