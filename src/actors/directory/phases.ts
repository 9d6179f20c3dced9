/**
 * Groups of states for the decisions of commands, janitor and readers. Outside the machines and their views, states are
 * named only here.
 */
import { QUARANTINED } from './states.ts';
import type { ContainerState, SandboxState } from './states.ts';
import type { ContainerView, PullView, SandboxView, View } from './views.ts';

/** Its actor crashed too often; Stop and Remove work without the actor. */
export function isQuarantined(view: View): boolean {
  return view.state === QUARANTINED;
}

/** Its undo failed; the janitor tries again. */
export function isCleanupPending(view: View): boolean {
  return view.state === 'cleanupPending';
}

/** It was stopped, even if a part of the stop failed and its cleanup is pending. */
export function isSandboxStopped(view: SandboxView): boolean {
  return view.state === 'notReady';
}

/**
 * Containers may be created and started in it. Not once a stop was asked for, although lists show the sandbox as ready
 * until the stop is on record: the stop ends the containers that it finds when it begins, and no later one (as in
 * CRI-O, whose CreateContainer and StopPodSandbox exclude each other).
 */
export function takesContainers({ state }: SandboxView): boolean {
  return state === 'ready';
}

/** It was created and not asked to start or stop; an update of its limits may be under way. */
export function waitsForStart({ state, criState }: ContainerView): boolean {
  return criState === 'created' && (state === 'created' || state === 'updating');
}

/** StartContainer is under way. */
export function isStarting(view: ContainerView): boolean {
  return view.state === 'starting';
}

/** Its process runs and no stop was requested; an update of its limits may be under way. */
export function isRunning({ state, criState }: ContainerView): boolean {
  return criState === 'running' && (state === 'running' || state === 'updating');
}

/** Its process runs, as far as is known. False once the exit is known, even before it is recorded (I12). */
export function isAlive({ state, criState }: ContainerView): boolean {
  return criState === 'running' && state !== 'finishing';
}

/** It is being killed, or its exit is known and what it held is released. False within the grace period of a stop. */
export function isEnding({ state, updatable }: ContainerView): boolean {
  return state === 'finishing' || (state === 'stopping' && !updatable);
}

/** Its process was signalled or is about to be, and its exit has not been seen. */
export function awaitsExit({ state }: ContainerView): boolean {
  return state === 'stopping' || state === 'thawing';
}

/**
 * Its exit was recorded, or the disk refused the record, and what it held was released or could not be; Remove has not
 * begun.
 */
export function isExited(view: ContainerView): boolean {
  return view.state === 'exited';
}

/** Clients are shown its exit. What it held may still be under release, or its removal under way. */
export function isExitShown({ criState }: ContainerView): boolean {
  return criState === 'exited';
}

/** Its record may already be written: the pull can no longer be cancelled. */
export function isCommitting(view: PullView): boolean {
  return view.state === 'committing';
}

/** Its exit is known, and what it held is being released. */
export function isReleasing({ state }: ContainerView): boolean {
  return state === 'finishing';
}

/**
 * The phase of an actor, as admission needs it for a request with the actor's name (commands/admission.ts).
 *
 * - `free`: it is gone, or its cleanup is pending and a restart would not bring it back.
 * - `beingMade`: RunPodSandbox or CreateContainer is under way.
 * - `created`: a container that waits for its start.
 * - `inUse`: a ready sandbox, or a container that waits for its start while its limits are updated.
 * - `endedUnstarted`: a container that is stopping or has exited, and that no client is known to have started.
 * - `ended`: a container that is stopping or has exited after its start, or whose start failed.
 * - `beingUndone`: its removal or undo is under way.
 * - `cleanupPending`: its cleanup is pending and a restart would bring it back.
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

/** The phase of a sandbox that is not ready; a ready one is `inUse`. */
export const PHASE_OF_SANDBOX: Readonly<Record<SandboxState, HolderPhase>> = {
  recovering: 'beingMade',
  recordingIntent: 'beingMade',
  provisioning: 'beingMade',
  pausing: 'beingMade',
  committing: 'beingMade',
  withdrawing: 'beingUndone',
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
  thawing: 'ended',
  stopping: 'ended',
  finishing: 'ended',
  exited: 'ended',
  recordingExit: 'ended',
  removing: 'beingUndone',
  unwinding: 'beingUndone',
  cleanupPending: 'cleanupPending',
  gone: 'free',
  quarantined: 'taken',
};

/** The phase of a sandbox. */
export function sandboxPhase({
  state,
  ready,
  removal,
  committed,
}: Pick<SandboxView, 'state' | 'ready' | 'removal' | 'committed'>): HolderPhase {
  // a removal stops it first, and a failed one stays until it succeeds
  if (removal && state === 'stopping') return 'beingUndone';
  if (removal && state === 'notReady') return 'cleanupPending';
  // even while a stop is under way: until the stop is recorded, lists show the sandbox as ready
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
  startUnrecorded,
  startFault,
}: Pick<
  ContainerView,
  'state' | 'criState' | 'committed' | 'startedAtNs' | 'startUnrecorded' | 'startFault'
>): HolderPhase {
  // a client that updates its limits knows its id
  if (state === 'updating' && criState === 'created') return 'inUse';
  const phase = PHASE_OF_CONTAINER[state];
  if (phase === 'cleanupPending' && !committed) return 'free';
  const isUnstarted = (startedAtNs === undefined || startUnrecorded) && startFault === undefined;
  return phase === 'ended' && isUnstarted ? 'endedUnstarted' : phase;
}
