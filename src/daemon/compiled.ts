/** What V8 has compiled, kept for later starts of the bundle (src/daemon/launch.ts). */
import type { ClockPort } from '../ports/clock.ts';
import type { Troupe } from '../actors/troupe.ts';
import { launchLimits } from './bounds.ts';
import { withFlagsOfStart } from '../host/tuning/memory.ts';

/** Given by the launcher; not there when the sources run unbundled. */
declare const troupeCompiled: ((run: string) => void) | undefined;

/** Kinds of runs: a command, a start on a node without containers, one that found some, the life of a pod. */
type Run = 'command' | 'start' | 'recovery' | 'pods';

function keep(run: Run): void {
  // V8 takes code only under the flags that it was kept under, and preferSmallHeap changes them
  if (typeof troupeCompiled !== 'undefined') withFlagsOfStart(() => troupeCompiled(run));
}

/** To be called when a command has done its work. */
export function keepCommand(): void {
  keep('command');
}

/**
 * To be called when the start is over; then what pods need is kept, too, a moment after the first one is gone. Each is
 * done once for an installation and takes the event loop some 15 ms.
 */
export function keepStart({ directory }: Troupe, clock: ClockPort): void {
  keep(directory.containers().length === 0 ? 'start' : 'recovery');
  const startedMs = clock.monoMs();
  const stop = directory.listenToAll((view, gone) => {
    if (!gone || view.kind !== 'sandbox') return;
    stop();
    // V8 forgets functions that were not called for long: later the start's would be missing
    if (clock.monoMs() - startedMs > launchLimits.podsWithinMs) return;
    clock.setTimeout(() => keep('pods'), launchLimits.afterPodMs);
  });
}
