/**
 * A checkpoint of a container in the container's machine. The driver freezes the container while it reads it; the
 * machine counts the checkpoints in progress by the events of their commands (commands/run-checkpoint.ts).
 */

/** In `running` and `updating`, which a checkpoint does not change: reads, execs and updates go on. */
export const noteCheckpoints = {
  'container.checkpoint': { actions: 'noteCheckpoints' },
  'container.thawed': { actions: 'noteCheckpoints' },
} as const;

/**
 * Between `running` and `stopping`. The stop aborts the checkpoint, and its signal waits until that has thawed the
 * container: a frozen process gets no signal, and one that is thawed too early would change while it is read (F33).
 * Without a checkpoint the state is left at once.
 */
export const thawing = {
  tags: ['listed', 'updatable'],
  always: [
    // a stop without a grace period, now or kept during an update, or a removal: KILL waits for nothing
    { guard: 'killIsDue', target: 'stopping.killing' },
    { guard: 'isThawed', target: 'stopping' },
  ],
  after: { checkpointThaw: 'stopping' },
  on: {
    'container.thawed': { actions: 'noteCheckpoints' },
    'container.exited': { target: 'finishing', actions: 'keepExit' },
    'container.stop': { guard: 'isSoonerOrImmediate', actions: 'keepGrace' },
    'container.remove': { target: 'stopping.killing', actions: ['wantRemoval', 'keepGrace'] },
    'container.update': { actions: 'queueUpdate' },
  },
} as const;
