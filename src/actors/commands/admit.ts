/** The loop of admission: finds the holders of a name and acts on the table's decisions until the name is free. */
import { fail, fault } from '../../base/fault.ts';
import type { Fault } from '../../base/fault.ts';
import { actorLimits } from '../bounds.ts';
import { ask, forCall } from '../directory/ask.ts';
import type { Asker, Call, Outcome, Question } from '../directory/ask.ts';
import { isCleanupPending, isQuarantined } from '../directory/phases.ts';
import type { ContainerView, SandboxView, View } from '../directory/views.ts';
import { decide } from './admission.ts';
import type { Holder } from './admission.ts';

/** A request for a new sandbox or container, with one function for each decision about a holder of its name. */
export interface AdmissionRequest<V extends SandboxView | ContainerView> {
  /** Such as `RunPodSandbox default/web (uid 7, attempt 0)`; begins every message. */
  readonly attempted: string;
  /** All actors of the name, of any attempt. Throws to refuse the request whoever holds the name. */
  readonly holders: () => readonly V[];
  readonly holderOf: (view: V) => Holder;
  /** Checks whether a new one may be made, or throws; returns the function that begins it. */
  readonly prepare: () => () => V['id'];
  readonly claim: (id: V['id']) => V['id'];
  readonly join: (id: V['id']) => Promise<V['id']>;
  readonly supersede: (view: V) => void;
  /** This and the next two settle when the name is to be looked up again. */
  readonly wait: (view: V) => Promise<unknown>;
  readonly undoFirst: (view: V) => Promise<unknown>;
  readonly cleanUpFirst: (view: V) => Promise<unknown>;
}

/** The id that answers the request, new or existing. Rejects with `conflict` where the name is taken. */
export async function admit<V extends SandboxView | ContainerView>(
  request: AdmissionRequest<V>,
): Promise<V['id']> {
  const { attempted } = request;
  for (let round = 0; round < actorLimits.admissionRounds; round += 1) {
    const holders = request
      .holders()
      .map((view) => ({ view, decision: decide(request.holderOf(view)) }))
      .filter(({ decision }) => decision !== 'ignore');
    const first = holders.find(({ decision }) => decision !== 'supersede');
    if (first === undefined) {
      const begin = request.prepare();
      for (const { view } of holders) request.supersede(view);
      return request.join(begin());
    }
    const { view, decision } = first;
    if (decision === 'claim' || decision === 'join') return request[decision](view.id);
    if (decision === 'wait' || decision === 'undoFirst' || decision === 'cleanUpFirst')
      await request[decision](view);
    else
      fail('conflict', `${attempted}: ${view.kind} ${view.id} has this name and is ${view.path}`, {
        subject: view.id,
      });
  }
  return fail(
    'exhausted',
    `${attempted}: gave up after ${actorLimits.admissionRounds} other requests under this name`,
  );
}

/** The making of a sandbox or container that a request waits for. */
interface Making<V extends SandboxView | ContainerView> {
  /** Begins every message. */
  readonly attempted: string;
  readonly id: V['id'];
  readonly kind: V['kind'];
  /** Asked once it is settled. */
  readonly isMade: (view: V) => boolean;
  /** The fault of one that is settled, was not made and has no fault of its own. */
  readonly otherwise: (view: V) => Fault;
}

/** The question whether an actor has been made; rejects with the actor's fault if it was not, or was removed. */
export function untilMade<V extends SandboxView | ContainerView>({
  attempted,
  id,
  kind,
  isMade,
  otherwise,
}: Making<V>): Pick<Question<true, V>, 'attempted' | 'answer'> {
  const failed = (why: Fault): Outcome<true> => ({ fault: forCall(why, attempted, id) });
  return {
    attempted,
    answer: (view, gone) => {
      if (gone) return failed(view?.fault ?? fault('superseded', `the ${kind} was removed meanwhile`));
      if (view?.settled !== true) return undefined;
      return isMade(view) ? { ok: true } : failed(view.fault ?? otherwise(view));
    },
  };
}

/** An undo that a request waits for. */
export interface Undo extends Pick<Question<true>, 'command'> {
  readonly attempted: string;
  /** True when the wait may end although the actor still exists and its cleanup is not pending. */
  readonly isOver: (now: View) => boolean;
}

/**
 * Waits until the actor is gone or quarantined, its cleanup is pending, or `isOver` says so; then the name is looked up
 * again.
 */
export function untilUndone(
  asker: Asker,
  { kind, id, address }: SandboxView | ContainerView,
  { attempted, isOver, ...command }: Undo,
  call: Call,
): Promise<true> {
  return ask<true>(asker, call, {
    address,
    attempted: `${attempted}: waiting for ${kind} ${id} to be undone`,
    ...command,
    answer: (now, gone) =>
      gone || (now !== undefined && (isCleanupPending(now) || isQuarantined(now) || isOver(now)))
        ? { ok: true }
        : undefined,
  });
}
