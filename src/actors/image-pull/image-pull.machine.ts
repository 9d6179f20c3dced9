/*
 * The pull of one image, joined by every caller with the same reference and credentials.
 *
 * resolving   manifest, platform, config: what the reference means now
 * admitting   the signature policy has to accept it before a byte of a layer is fetched
 * fetching    layers into the store, a few at once
 * committing  the record that gives the image its name: from here on it is listed
 * discarding  layers of a pull that can't succeed, unless someone else uses them
 * present     final
 * absent      final; context.fault says why. A pull that may succeed the next time comes here with its layers kept
 *
 *   resolving → admitting → fetching → committing → present
 *       └───────────┴───────┬──┴───────────┴→ discarding → absent
 *                        fetching → absent
 */
import { assign, setup } from 'xstate';
import { fault, toFault } from '../../base/fault.ts';
import type { ResolvedImage } from '../../ports/images.ts';
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

/** Registries that can't be reached and calls that were left: not content that was wrong, nor a disk that is full. */
function mayResume(event: object): boolean {
  const { retryable, kind } = toFault('error' in event ? event.error : undefined);
  return retryable && kind !== 'exhausted';
}

/** The pull's machine over its effects. */
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
      noteFault: assign({ fault: ({ event }) => toFault('error' in event ? event.error : undefined) }),
      noteAbandoned: assign({
        fault: ({ context }) => fault('cancelled', `pull of ${context.reference}: every caller has gone`),
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
        // leaving aborts the download; what is unpacked lies below a name that only a whole layer gets, and what came is
        // kept for a client that asks again (F65), until the janitor has seen nobody come for it
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
        // what can't be deleted now the janitor finds as an unused layer
        invoke: { src: 'discard', input: self, onDone: 'absent', onError: 'absent' },
      },
      present: { type: 'final', tags: ['settled'] },
      absent: { type: 'final', tags: ['settled'] },
    },
  });
}
