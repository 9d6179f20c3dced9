/** CreateContainer: carries out the decisions of admission.ts about containers that already have the requested name. */
import { fault } from '../../base/fault.ts';
import type { ContainerId } from '../../base/ids.ts';
import { askContainer, untilForgotten } from '../directory/ask.ts';
import type { Call } from '../directory/ask.ts';
import { admitImages } from '../images/admission.ts';
import { containerAddress } from '../container/container.context.ts';
import type { ContainerEvent } from '../container/container.context.ts';
import type { ContainerKey, ContainerSpec } from '../../ports/specs.ts';
import type { ContainerView, View } from '../directory/views.ts';
import { containerPhase, isCleanupPending, isExited } from '../directory/phases.ts';
import { besideAttempt } from './admission.ts';
import type { Holder } from './admission.ts';
import { admit, untilMade, untilUndone } from './admit.ts';
import { isSameContainerRequest } from './same-request.ts';
import { beginContainer } from './begin-container.ts';
import type { ContainerStage } from './container-stage.ts';
import { readySandbox } from './container-stage.ts';

function containerName({ name, attempt, sandboxId }: ContainerKey): string {
  return `${name} (attempt ${attempt}) in sandbox ${sandboxId}`;
}

/**
 * Creates a container and returns its id. A container of this name that is being created is joined, and one that was
 * not started yet is returned again. Rejects with `conflict` once a container of this name was started.
 */
export async function createContainer(
  stage: ContainerStage,
  spec: ContainerSpec,
  call: Call,
): Promise<ContainerId> {
  const attempted = `CreateContainer ${containerName(spec.key)}`;
  // comes first because nothing may be awaited between the look-up of the name and the start of the actor
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
    supersede: ({ address }) => void stage.directory.send(address, ABANDON),
    wait: (view) => untilUndone(stage, view, { attempted, isOver: hasExited }, call),
    undoFirst: (view) =>
      untilUndone(
        stage,
        view,
        {
          attempted,
          command: ABANDON,
          // a container whose id was returned to a client meanwhile ignores the command
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
    sameRequest: attempt === 'same' && isSameContainerRequest(view.spec, spec),
    attempt,
  };
}

/** Records that a client knows the id, unless the caller has just cancelled. */
function claim(stage: ContainerStage, id: ContainerId, call: Call): ContainerId {
  if (!call.signal.aborted) stage.directory.send(containerAddress(id), { type: 'container.claim' });
  return id;
}

/** Waits until the container is created and returns its id. */
async function join(
  stage: ContainerStage,
  id: ContainerId,
  attempted: string,
  call: Call,
): Promise<ContainerId> {
  await askContainer(stage, call, {
    address: containerAddress(id),
    ...untilMade({
      attempted: `${attempted}: container ${id}`,
      id,
      kind: 'container',
      // a container that exited before its start was created all the same; its status reports the exit (F37)
      isMade: (view: ContainerView) => !isCleanupPending(view),
      otherwise: (view) => fault('outside', `the container is ${view.path}`),
    }),
    // synchronously: a request with a higher attempt must not undo the container whose id this call returns (I7)
    onOk: () => void claim(stage, id, call),
  });
  return id;
}
