/** RunPodSandbox, StopPodSandbox, RemovePodSandbox as the actors see them: who joins, who waits, who is refused. */
import { fault, fail } from '../../base/fault.ts';
import type { SandboxId } from '../../base/ids.ts';
import { actorLimits } from '../bounds.ts';
import { portLimits } from '../../ports/bounds.ts';
import { askSandbox, forCall, untilForgotten } from '../directory/ask.ts';
import type { Asker, Call, Outcome } from '../directory/ask.ts';
import { isQuarantined, isSandboxBeingMade } from '../directory/phases.ts';
import type { Ports } from '../../ports/ports.ts';
import type { AdmittedHandler, SandboxKey, SandboxSpec, SelinuxLabels } from '../../ports/specs.ts';
import { sandboxAddress } from '../sandbox/sandbox.context.ts';
import type { SandboxEvent, SandboxInput } from '../sandbox/sandbox.context.ts';
import type { SandboxView, View } from '../directory/views.ts';
import { freeLevel, levelOf, podLabels } from './selinux.ts';
import { sameSandboxWish } from './same-request.ts';
import { creationNs } from '../effects/times.ts';

/** Bytes of the number from which a free pair of categories is looked for: there are half a million. */
const LEVEL_BYTES = 4;

export interface SandboxStage extends Asker {
  readonly ports: Ports;
  /** The machine's labels for containers; undefined where it has no SELinux. */
  readonly selinux: SelinuxLabels | undefined;
  /** Starts the actor under its supervisor. */
  startSandbox(input: SandboxInput): void;
  /** Stop and Remove of a quarantined one. */
  sweepSandbox(view: SandboxView, remove: boolean): Promise<void>;
}

/** The key as people write it. */
export function sandboxName({ name, namespace, uid, attempt }: SandboxKey): string {
  return `${namespace}/${name} (uid ${uid}, attempt ${attempt})`;
}

/**
 * Runs a sandbox, or joins the one of this name that is on its way.
 * Rejects with `conflict` only for one that has ended.
 */
export async function runSandbox(stage: SandboxStage, spec: SandboxSpec, call: Call): Promise<SandboxId> {
  const attempted = `RunPodSandbox ${sandboxName(spec.key)}`;
  for (let round = 0; round < actorLimits.admissionRounds; round += 1) {
    const existing = stage.directory
      .sandboxesByKey(spec.key)
      .find((view) => view.state !== 'cleanupPending' || view.committed);
    if (existing === undefined) {
      const runtime = admitted(stage, spec, attempted);
      supersede(stage, spec.key);
      return handOut(
        stage,
        begin(stage, { ...spec, runtime, selinuxLabels: labelsFor(stage, spec) }, call),
        attempted,
        call,
      );
    }
    if (existing.ready) return claim(stage, existing.id, call);
    if (isSandboxBeingMade(existing)) {
      if (sameSandboxWish(existing.spec, spec)) return handOut(stage, existing.id, attempted, call);
      await untilGone(stage, existing, attempted, call, { type: 'sandbox.abandon' });
      continue;
    }
    if (isEnding(existing)) {
      await untilGone(stage, existing, attempted, call, undefined);
      continue;
    }
    if (existing.state === 'cleanupPending') {
      await untilForgotten(stage, existing, attempted, call, { type: 'sandbox.abandon' });
      continue;
    }
    fail('conflict', `${attempted}: sandbox ${existing.id} has this name and is ${existing.path}`, {
      subject: existing.id,
    });
  }
  return fail(
    'exhausted',
    `${attempted}: ${actorLimits.admissionRounds} other requests under this name came between`,
  );
}

function isEnding(view: SandboxView): boolean {
  return view.state === 'removing' || view.state === 'unwinding';
}

/** The handler that it is given. Throws what keeps it from being run now. */
function admitted(stage: SandboxStage, spec: SandboxSpec, attempted: string): AdmittedHandler {
  const { runtime, network } = stage.ports;
  const handler = runtime.handlers().find((one) => one.name === spec.handler);
  if (handler === undefined) {
    fail('invalidRequest', `${attempted}: runtime_handler "${spec.handler}" is not configured`, {
      subject: spec.handler,
    });
  }
  if (!handler.ready) {
    fail('wrongState', `${attempted}: runtime handler "${spec.handler}" cannot work here: ${handler.reason}`);
  }
  const status = network.status();
  if (spec.namespaces.network === 'pod' && !status.ready) {
    fail('notReady', `${attempted}: the pod network is not ready: ${status.message}`);
  }
  if (stage.directory.sandboxes().length >= portLimits.actorsMax) {
    fail('exhausted', `${attempted}: ${portLimits.actorsMax} sandboxes exist`);
  }
  return { name: handler.target ?? spec.handler, needsPause: handler.needsPause ?? false };
}

/** None without SELinux. The categories of all pods that are there are taken, also of those that have ended: their files are. */
function labelsFor(
  { selinux, directory, ports }: SandboxStage,
  spec: SandboxSpec,
): SelinuxLabels | undefined {
  if (selinux === undefined) return undefined;
  return podLabels(spec, selinux, (base) => {
    const taken = new Set(
      directory
        .sandboxes()
        .flatMap((view) =>
          view.spec.selinuxLabels === undefined ? [] : [levelOf(view.spec.selinuxLabels.process)],
        ),
    );
    return freeLevel(base, taken, Number.parseInt(ports.random.token(LEVEL_BYTES), 16));
  });
}

/** A higher attempt means that nobody will come for a lower one that is still being made (F70). */
function supersede(stage: SandboxStage, key: SandboxKey): void {
  for (const view of stage.directory.sandboxes()) {
    const other = view.spec.key;
    const same = other.name === key.name && other.namespace === key.namespace && other.uid === key.uid;
    if (!same || other.attempt >= key.attempt || view.claimed || !isSandboxBeingMade(view)) continue;
    stage.directory.tell(view.address, { type: 'sandbox.abandon' });
  }
}

function begin(stage: SandboxStage, spec: SandboxSpec, { cause }: Call): SandboxId {
  const id = stage.ports.random.id() as SandboxId;
  stage.startSandbox({
    id,
    spec,
    createdAtNs: creationNs(stage.ports.clock, stage.directory.sandboxes()),
    entry: 'new',
    begun: [],
    ips: [],
    pause: undefined,
    claimed: false,
    cause,
  });
  return id;
}

async function handOut(
  stage: SandboxStage,
  id: SandboxId,
  attempted: string,
  call: Call,
): Promise<SandboxId> {
  await askSandbox(stage, call, {
    address: sandboxAddress(id),
    attempted: `${attempted}: sandbox ${id}`,
    answer: (view, gone): Outcome<true> | undefined => {
      if (gone)
        return {
          fault: forCall(
            view?.fault ?? fault('superseded', 'it was removed meanwhile'),
            `${attempted}: sandbox ${id}`,
            id,
          ),
        };
      if (view?.settled !== true) return undefined;
      if (view.ready) return { ok: true };
      return {
        fault: forCall(
          view.fault ?? fault('superseded', 'it was stopped meanwhile'),
          `${attempted}: sandbox ${id}`,
          id,
        ),
      };
    },
    onOk: () => void claim(stage, id, call),
  });
  return id;
}

/** From now on a client knows the id, unless it has gone in this very moment. */
function claim(stage: SandboxStage, id: SandboxId, call: Call): SandboxId {
  if (!call.signal.aborted) stage.directory.tell(sandboxAddress(id), { type: 'sandbox.claim' });
  return id;
}

/**
 * What is still being made is given up at once: the drivers hear it and the machine goes to its undo, instead of
 * waiting for the bound of a plugin that hangs (F50). Call it after the command was sent, which says why.
 */
function giveUpMaking(stage: SandboxStage, view: SandboxView, attempted: string): void {
  if (isSandboxBeingMade(view))
    stage.activity.abort(view.address, `${attempted} came while it was being started`);
}

/** Waits until the name is free: gone, or its cleanup is pending (then the janitor has it). */
function untilGone(
  stage: SandboxStage,
  view: SandboxView,
  attempted: string,
  call: Call,
  command: SandboxEvent | undefined,
): Promise<true> {
  return askSandbox(stage, call, {
    address: view.address,
    attempted: `${attempted}: waiting for sandbox ${view.id} to be undone`,
    ...(command === undefined ? {} : { command, onSent: () => giveUpMaking(stage, view, attempted) }),
    answer: (now, gone) =>
      gone || now?.state === 'cleanupPending' || now?.state === 'notReady' ? { ok: true } : undefined,
  });
}

/** Stops a sandbox and its containers; succeeds when it is stopped already or unknown. */
export async function stopSandbox(stage: SandboxStage, id: SandboxId, call: Call): Promise<void> {
  const view = stage.directory.sandbox(id);
  if (view === undefined) return;
  if (isQuarantined(view)) {
    await stage.sweepSandbox(view, false);
    return;
  }
  const attempted = `StopPodSandbox ${id}`;
  await askSandbox(stage, call, {
    address: view.address,
    attempted,
    command: { type: 'sandbox.stop' },
    onSent: () => giveUpMaking(stage, view, attempted),
    answer: (now, gone) => {
      if (gone) return { ok: true };
      if (now?.settled !== true) return undefined;
      if (!now.stopCleanupPending && now.state === 'notReady') return { ok: true };
      return { fault: ended(now, attempted) };
    },
  });
}

/** Removes a sandbox and its containers, stopping them first; succeeds when it is unknown. */
export async function removeSandbox(stage: SandboxStage, id: SandboxId, call: Call): Promise<void> {
  const view = stage.directory.sandbox(id);
  if (view === undefined) return;
  if (isQuarantined(view)) {
    await stage.sweepSandbox(view, true);
    return;
  }
  const attempted = `RemovePodSandbox ${id}`;
  await askSandbox(stage, call, {
    address: view.address,
    attempted,
    command: { type: 'sandbox.remove' },
    onSent: () => giveUpMaking(stage, view, attempted),
    answer: (now, gone) => {
      if (gone) return { ok: true };
      return now?.settled === true ? { fault: ended(now, attempted) } : undefined;
    },
  });
}

function ended(view: View, attempted: string) {
  const why = view.fault;
  const reason = why?.message ?? `it stays in state ${view.path}`;
  return fault(why?.kind ?? 'outside', `${attempted}: ${reason}`, { subject: view.address, retryable: true });
}
