/** Keeps V8's compiled code for later starts of the bundle (src/daemon/launch.ts). */
import type { ClockPort } from '../ports/clock.ts';
import type { Troupe } from '../actors/troupe.ts';
import { launchLimits } from './bounds.ts';
import { withFlagsOfStart } from '../host/tuning/memory.ts';

/** Set by the launcher; undefined when the sources run unbundled. */
declare const troupeCompiled: ((run: string) => void) | undefined;

/** Kinds of runs: a command, a start without containers, a start with some, the first pod from creation to removal. */
type Run = 'command' | 'start' | 'recovery' | 'pods';

function keep(run: Run): void {
  // V8 accepts code only under the flags with which it was compiled, and preferSmallHeap changes them
  if (typeof troupeCompiled !== 'undefined') withFlagsOfStart(() => troupeCompiled(run));
}

/** To be called when a command is done. */
export function keepCommand(): void {
  keep('command');
}

/**
 * To be called when the start is over. It keeps the start's code now, and the code for pods a moment after the first
 * pod was removed. Each is done once for an installation and takes the event loop some 15 ms.
 */
export function keepStart({ directory }: Troupe, clock: ClockPort): void {
  keep(directory.containers().length === 0 ? 'start' : 'recovery');
  const startedMs = clock.monoMs();
  const stop = directory.listenToAll((view, gone) => {
    if (!gone || view.kind !== 'sandbox') return;
    stop();
    // V8 drops functions that were not called for long: after this time those of the start would be missing
    if (clock.monoMs() - startedMs > launchLimits.podsWithinMs) return;
    clock.setTimeout(() => keep('pods'), launchLimits.afterPodMs);
  });
}
