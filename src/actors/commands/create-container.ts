/** CreateContainer: the request, and what is done about containers that have its name (admission.ts). */
import { fault } from '../../base/fault.ts';
import type { ContainerId } from '../../base/ids.ts';
import { askContainer, forCall, untilForgotten } from '../directory/ask.ts';
import type { Call, Outcome } from '../directory/ask.ts';
import { admitImages } from '../images/admission.ts';
import { containerAddress } from '../container/container.context.ts';
import type { ContainerEvent } from '../container/container.context.ts';
import type { ContainerKey, ContainerSpec } from '../../ports/specs.ts';
import type { ContainerView, View } from '../directory/views.ts';
import { containerPhase, isCleanupPending, isExited } from '../directory/phases.ts';
import { besideAttempt } from './admission.ts';
import type { Holder } from './admission.ts';
import { admit, untilUndone } from './admit.ts';
import { sameContainerWish } from './same-request.ts';
import { beginContainer } from './begin-container.ts';
import type { ContainerStage } from './container-stage.ts';
import { readySandbox } from './container-stage.ts';
import { giveUpContainer } from './give-up-making.ts';

function containerName({ name, attempt, sandboxId }: ContainerKey): string {
  return `${name} (attempt ${attempt}) in sandbox ${sandboxId}`;
}

/**
 * Creates a container, or joins the one of this name that is on its way, or gives
 * the id again while it was not started. Rejects with `conflict` once it was.
 */
export async function createContainer(
  stage: ContainerStage,
  spec: ContainerSpec,
  call: Call,
): Promise<ContainerId> {
  const attempted = `CreateContainer ${containerName(spec.key)}`;
  // before the name is looked up: nothing may be waited for between that and the actor's start
  await admitImages(
    stage,
    spec,
    readySandbox(stage, spec.key.sandboxId, attempted).spec.key.namespace,
    attempted,
    call,
  );
  return admit<ContainerView>({
    attempted,
    holders: () => {
      readySandbox(stage, spec.key.sandboxId, attempted);
      return stage.directory.containersByName(spec.key);
    },
    holderOf: (view) => holderOf(view, spec),
    prepare: () => () =>
      beginContainer(stage, spec, readySandbox(stage, spec.key.sandboxId, attempted), attempted, call),
    claim: (id) => claim(stage, id, call),
    join: (id) => join(stage, id, attempted, call),
    supersede: ({ address }) => void stage.directory.tell(address, ABANDON),
    wait: (view) => untilUndone(stage, view, { attempted, isOver: hasExited }, call),
    undoFirst: (view) =>
      untilUndone(
        stage,
        view,
        {
          attempted,
          command: ABANDON,
          onSent: () => giveUpContainer(stage, view, attempted),
          // one that somebody was handed meanwhile takes no notice of the command
          isOver: (now) => hasExited(now) || now.claimed,
        },
        call,
      ),
    cleanUpFirst: (view) => untilForgotten(stage, view, attempted, call, ABANDON),
  });
}

function hasExited(view: View): boolean {
  return view.kind === 'container' && isExited(view);
}

const ABANDON: ContainerEvent = { type: 'container.abandon' };

function holderOf(view: ContainerView, spec: ContainerSpec): Holder {
  const attempt = besideAttempt(view.spec.key.attempt, spec.key.attempt);
  return {
    kind: 'container',
    phase: containerPhase(view),
    claimed: view.claimed,
    sameRequest: attempt === 'same' && sameContainerWish(view.spec, spec),
    attempt,
  };
}

/** From now on a client knows the id, unless it has gone in this very moment. */
function claim(stage: ContainerStage, id: ContainerId, call: Call): ContainerId {
  if (!call.signal.aborted) stage.directory.tell(containerAddress(id), { type: 'container.claim' });
  return id;
}

/** Its id, once it is made. */
async function join(
  stage: ContainerStage,
  id: ContainerId,
  attempted: string,
  call: Call,
): Promise<ContainerId> {
  await askContainer(stage, call, {
    address: containerAddress(id),
    attempted: `${attempted}: container ${id}`,
    answer: (view, gone): Outcome<true> | undefined => {
      if (gone)
        return {
          fault: forCall(
            view?.fault ?? fault('superseded', 'it was removed meanwhile'),
            `${attempted}: container ${id}`,
            id,
          ),
        };
      if (view?.settled !== true) return undefined;
      // one that ended before its start was created all the same; its status says how it ended (F37)
      if (!isCleanupPending(view)) return { ok: true };
      return {
        fault: forCall(
          view.fault ?? fault('outside', `it is ${view.path}`),
          `${attempted}: container ${id}`,
          id,
        ),
      };
    },
    // at once: a higher attempt that comes now must not undo what this call hands out (I7)
    onOk: () => void claim(stage, id, call),
  });
  return id;
}
