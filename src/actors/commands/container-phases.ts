/** How far the life of a container is that a request names again. Pure. */
import type { ContainerState } from '../directory/states.ts';
import type { ContainerView } from '../directory/views.ts';

const ENDING: ReadonlySet<ContainerState> = new Set<ContainerState>(['stopping', 'finishing', 'exited']);

/** It ended before anybody was handed its id: it was created all the same, and its status says how it ended (F37). */
export function isUnknownEnd(view: ContainerView): boolean {
  return !view.claimed && ENDING.has(view.state);
}

/** Somebody was handed its id meanwhile; the same call that comes twice, or again, is given the same answer (F37). */
export function hasEndedUnstarted({ state, startedAtNs, startFault }: ContainerView): boolean {
  return ENDING.has(state) && startedAtNs === undefined && startFault === undefined;
}
