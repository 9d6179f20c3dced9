/** CreateContainer: joins, waits for, undoes or refuses what has its name, else begins a container. */
import { fault, fail } from '../../base/fault.ts';
import type { ContainerId } from '../../base/ids.ts';
import { actorLimits } from '../bounds.ts';
import { askContainer, forCall, untilForgotten } from '../directory/ask.ts';
import type { Call, Outcome } from '../directory/ask.ts';
import { admitImages } from '../images/admission.ts';
import { containerAddress } from '../container/container.context.ts';
import type { ContainerEvent } from '../container/container.context.ts';
import type { ContainerKey, ContainerSpec } from '../../ports/specs.ts';
import type { ContainerView } from '../directory/views.ts';
import { isContainerBeingMade } from '../directory/phases.ts';
import { hasEndedUnstarted, isUnknownEnd } from './container-phases.ts';
import { sameContainerWish } from './same-request.ts';
import { beginContainer } from './begin-container.ts';
import type { ContainerStage } from './container-stage.ts';
import { readySandbox } from './container-stage.ts';
import { giveUpMaking } from './give-up-making.ts';

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
  for (let round = 0; round < actorLimits.admissionRounds; round += 1) {
    const sandbox = readySandbox(stage, spec.key.sandboxId, attempted);
    const existing = stage.directory
      .containersByName(spec.key)
      .find(
        (view) =>
          view.spec.key.attempt === spec.key.attempt && (view.state !== 'cleanupPending' || view.committed),
      );
    if (existing === undefined) {
      supersede(stage, spec.key);
      return handOut(stage, beginContainer(stage, spec, sandbox, attempted, call), attempted, call);
    }
    // who updates a container was handed its id
    if (existing.state === 'updating' && existing.criState === 'created')
      return claim(stage, existing.id, call);
    if (existing.state === 'created' && (existing.claimed || sameContainerWish(existing.spec, spec))) {
      return claim(stage, existing.id, call);
    }
    if (isContainerBeingMade(existing) || existing.state === 'created' || isUnknownEnd(existing)) {
      if (sameContainerWish(existing.spec, spec)) return handOut(stage, existing.id, attempted, call);
      await untilGone(stage, existing, attempted, call, { type: 'container.abandon' });
      continue;
    }
    if (hasEndedUnstarted(existing) && sameContainerWish(existing.spec, spec))
      return handOut(stage, existing.id, attempted, call);
    if (existing.state === 'unwinding' || existing.state === 'removing') {
      await untilGone(stage, existing, attempted, call, undefined);
      continue;
    }
    if (existing.state === 'cleanupPending') {
      await untilForgotten(stage, existing, attempted, call, { type: 'container.abandon' });
      continue;
    }
    fail('conflict', `${attempted}: container ${existing.id} has this name and is ${existing.path}`, {
      subject: existing.id,
    });
  }
  return fail(
    'exhausted',
    `${attempted}: ${actorLimits.admissionRounds} other requests under this name came between`,
  );
}

/** A higher attempt supersedes a lower one that nobody was handed (F70). */
function supersede(stage: ContainerStage, key: ContainerKey): void {
  for (const view of stage.directory.containersByName(key)) {
    if (view.spec.key.attempt >= key.attempt || view.claimed) continue;
    stage.directory.tell(view.address, { type: 'container.abandon' });
  }
}

function claim(stage: ContainerStage, id: ContainerId, call: Call): ContainerId {
  if (!call.signal.aborted) stage.directory.tell(containerAddress(id), { type: 'container.claim' });
  return id;
}

async function handOut(
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
      if (view.state !== 'cleanupPending') return { ok: true };
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

function untilGone(
  stage: ContainerStage,
  view: ContainerView,
  attempted: string,
  call: Call,
  command: ContainerEvent | undefined,
): Promise<true> {
  return askContainer(stage, call, {
    address: view.address,
    attempted: `${attempted}: waiting for container ${view.id} to be undone`,
    ...(command === undefined ? {} : { command, onSent: () => giveUpMaking(stage, view, attempted) }),
    // one that somebody was handed meanwhile takes no notice of the command
    answer: (now, gone) =>
      gone ||
      now?.state === 'cleanupPending' ||
      now?.state === 'exited' ||
      (command !== undefined && now?.claimed === true)
        ? { ok: true }
        : undefined,
  });
}
