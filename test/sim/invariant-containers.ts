/** I10 for containers: what status reports agrees with the kernel's processes, at once or within a bound. */
import type { ContainerView } from '../../src/actors/directory/views.ts';
import { actorLimits } from '../../src/actors/bounds.ts';
import type { Broken } from './broken.ts';
import type { World } from './world.ts';

/** Virtual milliseconds until a change shows, where nothing hangs. */
const SEEN_WITHIN_MS = 5000;
/**
 * The same where a call that hung or was slow before the quiet may hold it up: the longest bounds of a container's
 * effects in a row.
 */
const HELD_UP_MS = actorLimits.removeRootfsMs + 3 * actorLimits.janitorMs;

/** The first container whose report disagrees with the kernel. */
export function checkContainers(world: World, containers: readonly ContainerView[]): Broken | undefined {
  const { kernel, scheduler, quietSinceMs, servingSinceMs, outside } = world;
  const broken = (detail: string): Broken => ({ invariant: 'I10', detail });
  const { hang, slowed } = outside.made;
  const within = hang + slowed > 0 ? HELD_UP_MS : SEEN_WITHIN_MS;
  const isLate = (sinceMs: number): boolean =>
    scheduler.nowMs - Math.max(sinceMs, quietSinceMs, servingSinceMs) > within;
  for (const { id, criState, state, listed, init, exit, path } of containers) {
    if (!listed) continue;
    const lives = init !== undefined && kernel.lives(init);
    if (criState === 'exited' && exit !== undefined && lives)
      return broken(`container ${id} is reported as exited and its process ${init.pid} lives (${path})`);
    const endedMs = kernel.endedMs.get(id) ?? 0;
    if (criState === 'running' && !lives && isLate(endedMs))
      return broken(
        `container ${id} is reported as running; its process ended ${Math.round(scheduler.nowMs - endedMs)} ms ago (${path})`,
      );
    const startedMs = kernel.startedMs.get(id);
    if (state === 'created' && lives && startedMs !== undefined && isLate(startedMs))
      return broken(`container ${id} is reported as created and its program runs (${path})`);
  }
  return undefined;
}
