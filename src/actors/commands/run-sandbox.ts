/** RunPodSandbox: carries out the decisions of admission.ts about sandboxes that already have the requested name. */
import { fault } from '../../base/fault.ts';
import type { SandboxId } from '../../base/ids.ts';
import { askSandbox, untilForgotten } from '../directory/ask.ts';
import type { Call } from '../directory/ask.ts';
import type { SandboxKey, SandboxSpec } from '../../ports/specs.ts';
import { sandboxAddress } from '../sandbox/sandbox.context.ts';
import type { SandboxEvent } from '../sandbox/sandbox.context.ts';
import { isSandboxStopped, sandboxPhase } from '../directory/phases.ts';
import type { SandboxView, View } from '../directory/views.ts';
import { besideAttempt } from './admission.ts';
import type { Holder } from './admission.ts';
import { admit, untilMade, untilUndone } from './admit.ts';
import { admittedHandler, beginSandbox } from './begin-sandbox.ts';
import { isSameSandboxRequest } from './same-request.ts';
import type { SandboxStage } from './sandbox-stage.ts';

/** The key as it appears in messages. */
function sandboxName({ name, namespace, uid, attempt }: SandboxKey): string {
  return `${namespace}/${name} (uid ${uid}, attempt ${attempt})`;
}

/**
 * Runs a sandbox, or joins the one of this name that is being made. Rejects with `conflict` only when the name belongs
 * to a sandbox that is stopping or stopped, without a removal, or that is quarantined. It waits for a removal.
 */
export function runSandbox(stage: SandboxStage, spec: SandboxSpec, call: Call): Promise<SandboxId> {
  const attempted = `RunPodSandbox ${sandboxName(spec.key)}`;
  return admit<SandboxView>({
    attempted,
    holders: () => stage.directory.sandboxesByName(spec.key),
    holderOf: (view) => holderOf(view, spec),
    prepare: () => {
      const handler = admittedHandler(stage, spec, attempted);
      return () => beginSandbox(stage, spec, handler, call);
    },
    claim: (id) => claim(stage, id, call),
    join: (id) => join(stage, id, attempted, call),
    supersede: ({ address }) => void stage.directory.send(address, ABANDON),
    wait: (view) => untilUndone(stage, view, { attempted, isOver: hasStopped }, call),
    undoFirst: (view) =>
      untilUndone(
        stage,
        view,
        {
          attempted,
          command: ABANDON,
          isOver: hasStopped,
        },
        call,
      ),
    cleanUpFirst: (view) => untilForgotten(stage, view, attempted, call, REMOVE),
  });
}

function hasStopped(view: View): boolean {
  return view.kind === 'sandbox' && isSandboxStopped(view);
}

const ABANDON: SandboxEvent = { type: 'sandbox.abandon' };
const REMOVE: SandboxEvent = { type: 'sandbox.remove' };

function holderOf(view: SandboxView, spec: SandboxSpec): Holder {
  const attempt = besideAttempt(view.spec.key.attempt, spec.key.attempt);
  return {
    kind: 'sandbox',
    phase: sandboxPhase(view),
    claimed: view.claimed,
    sameRequest: attempt === 'same' && isSameSandboxRequest(view.spec, spec),
    attempt,
  };
}

/** Records that a client knows the id, unless the caller has just cancelled. */
function claim(stage: SandboxStage, id: SandboxId, call: Call): SandboxId {
  if (!call.signal.aborted) stage.directory.send(sandboxAddress(id), { type: 'sandbox.claim' });
  return id;
}

/** Waits until the sandbox is ready and returns its id. */
async function join(stage: SandboxStage, id: SandboxId, attempted: string, call: Call): Promise<SandboxId> {
  await askSandbox(stage, call, {
    address: sandboxAddress(id),
    ...untilMade({
      attempted: `${attempted}: sandbox ${id}`,
      id,
      kind: 'sandbox',
      isMade: (view: SandboxView) => view.ready,
      otherwise: () => fault('superseded', 'the sandbox was stopped meanwhile'),
    }),
    onOk: () => void claim(stage, id, call),
  });
  return id;
}
