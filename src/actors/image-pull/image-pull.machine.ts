/*
 * The pull of one image. Callers with the same reference and credentials share it.
 *
 * resolving   asks the registry what the reference means now: manifest, platform, config
 * admitting   checks the signature policy before any layer is fetched
 * fetching    downloads and unpacks the layers, several at once
 * committing  records the image under its name; once the record is durable, the image is listed
 * discarding  deletes the layers of a pull that can't succeed, except those that others use
 * present     final; the image is in the store
 * absent      final; context.fault has the reason. A pull that may succeed later ends here with its layers kept
 *
 *   resolving → admitting → fetching → committing → present
 *       └───────────┴───────┬──┴───────────┴→ discarding → absent
 *                        fetching → absent
 */
import { assign, setup } from 'xstate';
import { fault, toFault } from '../../base/fault.ts';
import type { ResolvedImage } from '../../ports/images.ts';
import { errorOf } from '../effects/effect-logic.ts';
import type { PullContext, PullEvent, PullInput } from './image-pull.context.ts';
import type { PullEffects } from './image-pull.effects.ts';

type Has = { readonly context: PullContext };
const self = ({ context }: Has) => ({
  owner: context.owner,
  reference: context.reference,
  auth: context.auth,
  namespace: context.namespace,
  resolved: context.resolved,
  layerBytes: context.layerBytes,
});

/**
 * True when the same pull may succeed later, such as after a network failure; false for wrong content or a full disk.
 */
function mayResume(event: object): boolean {
  const { retryable, kind } = toFault(errorOf(event));
  return retryable && kind !== 'exhausted';
}

/** The pull's machine, given its effects. */
export function imagePullMachine(effects: PullEffects) {
  return setup({
    types: {
      context: {} as PullContext,
      input: {} as PullInput,
      events: {} as PullEvent,
      tags: {} as 'settled',
    },
    actors: effects,
    actions: {
      keepResolved: assign({
        resolved: ({ event }) => ('output' in event ? (event.output as ResolvedImage) : undefined),
      }),
      keepBytes: assign({ layerBytes: ({ event }) => ('output' in event ? (event.output as number) : 0) }),
      noteFault: assign({ fault: ({ event }) => toFault(errorOf(event)) }),
      noteAbandoned: assign({
        fault: ({ context }) =>
          fault('cancelled', `pull ${context.reference}: cancelled, no caller waits for it`),
      }),
    },
    guards: { mayResume: ({ event }) => mayResume(event) },
  }).createMachine({
    id: 'image-pull',
    context: ({ input }) => ({ ...input, resolved: undefined, layerBytes: 0, fault: undefined }),
    initial: 'resolving',
    states: {
      resolving: {
        on: { 'pull.abandon': { target: 'discarding', actions: 'noteAbandoned' } },
        invoke: {
          src: 'resolve',
          input: self,
          onDone: { target: 'admitting', actions: 'keepResolved' },
          onError: { target: 'discarding', actions: 'noteFault' },
        },
      },
      admitting: {
        on: { 'pull.abandon': { target: 'discarding', actions: 'noteAbandoned' } },
        invoke: {
          src: 'admit',
          input: self,
          onDone: 'fetching',
          onError: { target: 'discarding', actions: 'noteFault' },
        },
      },
      fetching: {
        // leaving this state aborts the downloads. A layer gets its name only once it is complete. Partial downloads
        // are kept for a client that pulls again (F65), until the janitor gives them up
        on: { 'pull.abandon': { target: 'absent', actions: 'noteAbandoned' } },
        invoke: {
          src: 'fetchLayers',
          input: self,
          onDone: { target: 'committing', actions: 'keepBytes' },
          onError: [
            { guard: 'mayResume', target: 'absent', actions: 'noteFault' },
            { target: 'discarding', actions: 'noteFault' },
          ],
        },
      },
      committing: {
        invoke: {
          src: 'recordPresent',
          input: self,
          onDone: 'present',
          onError: { target: 'discarding', actions: 'noteFault' },
        },
      },
      discarding: {
        // a layer that can't be deleted now is found by the janitor as unused
        invoke: { src: 'discard', input: self, onDone: 'absent', onError: 'absent' },
      },
      present: { type: 'final', tags: ['settled'] },
      absent: { type: 'final', tags: ['settled'] },
    },
  });
}
