/**
 * The steps of a start before its record. Each step gives its effect `startGivenUpMs` from its own begin, so that a
 * start that a stop overtakes can still succeed and the process gets its stop signal and grace period. After that a
 * stop aborts the effect (F34). The state that invokes is not left, so no effect is in flight in the next state.
 */
import { self, withEffective } from './container.inputs.ts';

/** The states inside of a step. */
const boundedWhenUnwanted = {
  initial: 'inTime',
  states: {
    inTime: { after: { startGivenUp: 'overdue' } },
    overdue: { always: { guard: 'isUnwanted', target: 'abandoned' } },
    abandoned: { entry: 'abortEffects' },
  },
} as const;

/** The process may run although the start failed: it is killed, and reported exited only after its exit. */
const failed = [
  { guard: 'exitIsKnown', target: '#container.finishing', actions: 'noteStartFault' },
  { target: '#container.stopping.killing', actions: 'noteStartFault' },
] as const;

/** Followed by `recording`, the journal's append, which is never aborted. */
export const startSteps = {
  plugins: {
    ...boundedWhenUnwanted,
    invoke: {
      src: 'askPlugins',
      input: self,
      onDone: [{ guard: 'isRestore', target: 'restoring' }, { target: 'runtime' }],
      onError: failed,
    },
  },
  runtime: {
    ...boundedWhenUnwanted,
    invoke: {
      src: 'start',
      input: self,
      onDone: { target: 'recording', actions: 'keepStart' },
      onError: failed,
    },
  },
  // replaces the runtime's create and start; a failed restore leaves no process
  restoring: {
    ...boundedWhenUnwanted,
    invoke: {
      src: 'restore',
      input: withEffective,
      onDone: { target: 'recording', actions: 'keepRestored' },
      onError: failed,
    },
  },
} as const;
