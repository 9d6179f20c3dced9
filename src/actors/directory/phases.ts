/** The groups of states that commands, janitor and readers decide by: outside of machines and views a state is named only here. */
import { QUARANTINED } from './states.ts';
import type { ContainerState, SandboxState } from './states.ts';
import type { ContainerView, PullView, SandboxView, View } from './views.ts';

const SANDBOX_BEING_MADE: ReadonlySet<SandboxState> = new Set<SandboxState>([
  'recovering',
  'recordingIntent',
  'provisioning',
  'pausing',
  'committing',
]);

const CONTAINER_BEING_MADE: ReadonlySet<ContainerState> = new Set<ContainerState>([
  'recovering',
  'recordingIntent',
  'provisioning',
]);

/** Its actor crashed too often; Stop and Remove undo it without one. */
export function isQuarantined(view: View): boolean {
  return view.state === QUARANTINED;
}

/** Its undo failed and is tried again by the janitor. */
export function isCleanupPending(view: View): boolean {
  return view.state === 'cleanupPending';
}

/** RunPodSandbox is under way. */
export function isSandboxBeingMade(view: SandboxView): boolean {
  return SANDBOX_BEING_MADE.has(view.state);
}

/** It was stopped; something that Stop undoes may be left. */
export function isSandboxStopped(view: SandboxView): boolean {
  return view.state === 'notReady';
}

/** CreateContainer is under way. */
export function isContainerBeingMade(view: ContainerView): boolean {
  return CONTAINER_BEING_MADE.has(view.state);
}

/** It was created, and nobody has asked for its start or for its end; its limits may be being updated. */
export function waitsForStart({ state, criState }: ContainerView): boolean {
  return criState === 'created' && (state === 'created' || state === 'updating');
}

/** StartContainer is under way. */
export function isStarting(view: ContainerView): boolean {
  return view.state === 'starting';
}

/** Its process runs and nobody has asked for its end; an update of its limits does not stop it. */
export function isRunning({ state, criState }: ContainerView): boolean {
  return criState === 'running' && (state === 'running' || state === 'updating');
}

/** Its process runs, as far as is known: an end whose record is still being written refuses an exec already (I12). */
export function isAlive({ state, criState }: ContainerView): boolean {
  return criState === 'running' && state !== 'finishing';
}

/** It is being killed, or its process has ended and the record of it is under way. Within its grace it is not. */
export function isEnding({ state, updatable }: ContainerView): boolean {
  return state === 'finishing' || (state === 'stopping' && !updatable);
}

/** Its end is on record, or the record was refused; Remove has not begun. */
export function isExited(view: ContainerView): boolean {
  return view.state === 'exited';
}

/** RemoveContainer is under way. */
export function isBeingRemoved(view: ContainerView): boolean {
  return view.state === 'removing';
}

/** Its record may be on its way to the disk: nobody can call the pull off any more. */
export function isCommitting(view: PullView): boolean {
  return view.state === 'committing';
}

/**
 * How far along an actor is, for a request that has its name (commands/admission.ts).
 *
 * - `free`: it is gone, or its cleanup is pending and no restart would bring it back.
 * - `created`: a container that waits for its start.
 * - `inUse`: a ready sandbox; a container that waits for its start while its limits are updated.
 * - `endedUnstarted`: a container that is ending or has ended before its start.
 * - `ended`: a container that is ending or has ended after its start, or because its start failed.
 * - `cleanupPending`: a restart would bring it back.
 * - `taken`: anything else.
 */
export const HOLDER_PHASES = [
  'free',
  'beingMade',
  'created',
  'inUse',
  'endedUnstarted',
  'ended',
  'beingUndone',
  'cleanupPending',
  'taken',
] as const;
export type HolderPhase = (typeof HOLDER_PHASES)[number];

/** Of a sandbox that is not ready. */
export const PHASE_OF_SANDBOX: Readonly<Record<SandboxState, HolderPhase>> = {
  recovering: 'beingMade',
  recordingIntent: 'beingMade',
  provisioning: 'beingMade',
  pausing: 'beingMade',
  committing: 'beingMade',
  withdrawing: 'taken',
  ready: 'inUse',
  stopping: 'taken',
  notReady: 'taken',
  removing: 'beingUndone',
  unwinding: 'beingUndone',
  cleanupPending: 'cleanupPending',
  gone: 'free',
  quarantined: 'taken',
};

export const PHASE_OF_CONTAINER: Readonly<Record<ContainerState, HolderPhase>> = {
  recovering: 'beingMade',
  recordingIntent: 'beingMade',
  provisioning: 'beingMade',
  created: 'created',
  starting: 'taken',
  running: 'taken',
  updating: 'taken',
  stopping: 'ended',
  finishing: 'ended',
  exited: 'ended',
  recordingExit: 'taken',
  removing: 'beingUndone',
  unwinding: 'beingUndone',
  cleanupPending: 'cleanupPending',
  gone: 'free',
  quarantined: 'taken',
};

/** The phase of a sandbox; one that lists show as ready is in use. */
export function sandboxPhase({
  state,
  ready,
  committed,
}: Pick<SandboxView, 'state' | 'ready' | 'committed'>): HolderPhase {
  // also while a stop is under way whose record is not on the disk yet: lists show it as ready
  if (ready) return 'inUse';
  const phase = PHASE_OF_SANDBOX[state];
  return phase === 'cleanupPending' && !committed ? 'free' : phase;
}

/** The phase of a container. */
export function containerPhase({
  state,
  criState,
  committed,
  startedAtNs,
  startFault,
}: Pick<ContainerView, 'state' | 'criState' | 'committed' | 'startedAtNs' | 'startFault'>): HolderPhase {
  // who updates its limits was handed its id
  if (state === 'updating' && criState === 'created') return 'inUse';
  const phase = PHASE_OF_CONTAINER[state];
  if (phase === 'cleanupPending' && !committed) return 'free';
  const isUnstarted = startedAtNs === undefined && startFault === undefined;
  return phase === 'ended' && isUnstarted ? 'endedUnstarted' : phase;
}
