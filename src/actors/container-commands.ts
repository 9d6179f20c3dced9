/** Create, Start, Stop, Remove of containers as the actors see them. */
import { fault, fail } from '../base/fault.ts';
import type { Fault } from '../base/fault.ts';
import type { ContainerId, Digest, SandboxId } from '../base/ids.ts';
import { actorLimits } from '../base/limits.ts';
import { ask, forCall, untilForgotten } from './ask.ts';
import type { Asker, Call, Outcome } from './ask.ts';
import { orItsEnd } from './ending.ts';
import { admitImages, nameOf } from './images/admission.ts';
import { sourceNamed } from './images/catalog.ts';
import { containerAddress } from './container/container.context.ts';
import type { ContainerEvent, ContainerInput } from './container/container.context.ts';
import type { Ports } from './ports/ports.ts';
import type { ProcessIdentity } from './ports/journal.ts';
import type { ContainerKey, ContainerSpec, ImageRecord, ImageUse, Resources } from './ports/specs.ts';
import type { Ledger } from './recovery/ledger.ts';
import type { ContainerView, SandboxView } from './views.ts';
import { handlerOf } from './sandbox/sandbox.context.ts';
import { hasEndedUnstarted, isBeingMade, isUnknownEnd } from './container-stages.ts';
import { containerLabels } from './selinux.ts';
import { sameContainerWish } from './wish.ts';
import { creationNs } from './times.ts';

export interface ContainerStage extends Asker {
  readonly ports: Ports;
  readonly ledger: Ledger;
  /** Starts the actor under its supervisor; its layers are held from now on. */
  startContainer(input: ContainerInput): void;
  /** Stop and Remove of a quarantined one. */
  sweepContainer(view: ContainerView, remove: boolean): Promise<void>;
}

function containerName({ name, attempt, sandboxId }: ContainerKey): string {
  return `${name} (attempt ${attempt}) in sandbox ${sandboxId}`;
}

/**
 * Creates a container, or joins the one of this name that is on its way, or gives
 * the id again while it was not started. Rejects with `conflict` once it was.
 */
export async function createContainer(stage: ContainerStage, spec: ContainerSpec, call: Call): Promise<ContainerId> {
  const attempted = `CreateContainer ${containerName(spec.key)}`;
  // before the name is looked up: nothing may be waited for between that and the actor's start
  await admitImages(stage, spec, readySandbox(stage, spec.key.sandboxId, attempted).spec.key.namespace, attempted, call);
  for (let round = 0; round < actorLimits.admissionRounds; round += 1) {
    const sandbox = readySandbox(stage, spec.key.sandboxId, attempted);
    const existing = stage.directory
      .containersByName(spec.key)
      .find((view) => view.spec.key.attempt === spec.key.attempt && (view.state !== 'owing' || view.committed));
    if (existing === undefined) {
      supersede(stage, spec.key);
      return handOut(stage, begin(stage, spec, sandbox, attempted, call), attempted, call);
    }
    // who updates a container was handed its id
    if (existing.state === 'updating' && existing.criState === 'created') return claim(stage, existing.id, call);
    if (existing.state === 'created' && (existing.claimed || sameContainerWish(existing.spec, spec))) {
      return claim(stage, existing.id, call);
    }
    if (isBeingMade(existing) || existing.state === 'created' || isUnknownEnd(existing)) {
      if (sameContainerWish(existing.spec, spec)) return handOut(stage, existing.id, attempted, call);
      await untilGone(stage, existing, attempted, call, { type: 'container.abandon' });
      continue;
    }
    if (hasEndedUnstarted(existing) && sameContainerWish(existing.spec, spec)) return handOut(stage, existing.id, attempted, call);
    if (existing.state === 'unwinding' || existing.state === 'removing') {
      await untilGone(stage, existing, attempted, call, undefined);
      continue;
    }
    if (existing.state === 'owing') {
      await untilForgotten(stage, existing, attempted, call, { type: 'container.abandon' });
      continue;
    }
    fail('conflict', `${attempted}: container ${existing.id} has this name and is ${existing.path}`, {
      subject: existing.id,
    });
  }
  return fail('exhausted', `${attempted}: ${actorLimits.admissionRounds} other requests under this name came between`);
}

function readySandbox(stage: ContainerStage, id: SandboxId, attempted: string): SandboxView {
  const sandbox = stage.directory.sandbox(id);
  if (sandbox === undefined || !sandbox.listed) fail('notFound', `${attempted}: no such sandbox`, { subject: id });
  if (!sandbox.ready) fail('wrongState', `${attempted}: the sandbox is ${sandbox.path}, not ready`, { subject: id });
  return sandbox;
}

/** A higher attempt supersedes a lower one that nobody was handed (F70). */
function supersede(stage: ContainerStage, key: ContainerKey): void {
  for (const view of stage.directory.containersByName(key)) {
    if (view.spec.key.attempt >= key.attempt || view.claimed) continue;
    stage.directory.ref(view.address)?.send({ type: 'container.abandon' });
  }
}

function begin(
  stage: ContainerStage,
  spec: ContainerSpec,
  sandbox: SandboxView,
  attempted: string,
  { cause }: Call,
): ContainerId {
  const image = stage.ledger.images.get(spec.imageId);
  if (image === undefined) fail('notFound', `${attempted}: image ${spec.imageId} is not here`, { subject: spec.imageId });
  const source = spec.restore?.from;
  // from here on its layer is held
  if (source !== undefined && 'image' in source && !stage.ledger.images.has(source.image)) fail('notFound', `${attempted}: image ${source.image}, its checkpoint, is not here`, { subject: source.image });
  const isArtifact = image.layers.some(({ file }) => file !== undefined);
  if (isArtifact) fail('invalidRequest', `${attempted}: ${imageRef(stage, image, nameOf(spec, image.id))} is an artifact, whose files can be mounted and not be run`, { subject: spec.imageId });
  const others = stage.directory.containers();
  if (others.length >= actorLimits.actorsMax) {
    fail('exhausted', `${attempted}: ${actorLimits.actorsMax} containers exist`);
  }
  const id = stage.ports.random.id() as ContainerId;
  stage.startContainer({
    id,
    spec: { ...spec, selinuxLabels: containerLabels(spec, sandbox.spec.selinuxLabels) },
    handler: handlerOf(sandbox.spec),
    image: { id: image.id, ref: imageRef(stage, image, nameOf(spec, image.id)), layers: diffIds(image), ...volumesOf(stage, spec, attempted) },
    createdAtNs: creationNs(stage.ports.clock, others),
    entry: 'new',
    making: {
      sandbox: sandbox.spec,
      imageConfig: image.config,
      pidNamespaceOf: pidNamespaceOf(stage, spec, sandbox, attempted),
    },
    begun: [],
    init: undefined,
    effective: undefined,
    startedAtNs: undefined,
    exit: undefined,
    graceMs: 0,
    claimed: false,
    cause,
  });
  return id;
}

function diffIds({ layers }: ImageRecord): readonly Digest[] {
  return layers.map((layer) => layer.diffId);
}

/** The images that it mounts, each once however many mounts show it. */
function volumesOf(stage: ContainerStage, spec: ContainerSpec, attempted: string): Pick<ImageUse, 'volumes'> {
  const ids = new Set(spec.mounts.flatMap(({ image }) => image?.id ?? []));
  if (ids.size === 0) return {};
  const volumes = [...ids].map((id) => {
    const image = stage.ledger.images.get(id) ?? fail('notFound', `${attempted}: image ${id}, which it mounts, is not here`, { subject: id });
    return { id, layers: diffIds(image) };
  });
  return { volumes };
}

/** Of the name that the pod has for it, where that brought a manifest; else of the first that came. */
function imageRef({ ports }: ContainerStage, image: ImageRecord, name: string): string {
  return sourceNamed(image, name, (reference) => ports.images.candidates(reference))?.repoDigest ?? image.repoDigests[0] ?? image.id;
}

/** The pause process for pid mode `pod`, the target's init for `target`; it must run in the same sandbox. */
function pidNamespaceOf(
  stage: ContainerStage,
  spec: ContainerSpec,
  sandbox: SandboxView,
  attempted: string,
): ProcessIdentity | undefined {
  const { pid, targetId } = spec.security.namespaces;
  if (pid === 'pod') {
    if (sandbox.pause !== undefined) return sandbox.pause;
    return fail('invalidRequest', `${attempted}: namespace_options.pid is POD, but the sandbox does not share its PID namespace`);
  }
  if (pid !== 'target') return undefined;
  const target = targetId === undefined ? undefined : stage.directory.container(targetId);
  if (target === undefined || target.spec.key.sandboxId !== sandbox.id) {
    return fail('invalidRequest', `${attempted}: namespace_options.target_id names no container of this sandbox`);
  }
  if (!['running', 'updating'].includes(target.state) || target.criState !== 'running' || target.init === undefined) {
    return fail('wrongState', `${attempted}: target container ${target.id} is ${target.path}, not running`);
  }
  return target.init;
}

async function handOut(stage: ContainerStage, id: ContainerId, attempted: string, call: Call): Promise<ContainerId> {
  await ask(stage, call, {
    address: containerAddress(id),
    attempted: `${attempted}: container ${id}`,
    answer: (view, gone): Outcome<true> | undefined => {
      if (gone) return { fault: forCall(view?.fault ?? fault('superseded', 'it was removed meanwhile'), `${attempted}: container ${id}`, id) };
      if (view?.kind !== 'container' || !view.settled) return undefined;
      // one that ended before its start was created all the same; its status says how it ended (F37)
      if (view.state !== 'owing') return { ok: true };
      return { fault: forCall(view.fault ?? fault('outside', `it is ${view.path}`), `${attempted}: container ${id}`, id) };
    },
    // at once: a higher attempt that comes now must not undo what this call hands out (I7)
    onOk: () => void claim(stage, id, call),
  });
  return id;
}

function claim(stage: ContainerStage, id: ContainerId, call: Call): ContainerId {
  if (!call.signal.aborted) stage.directory.ref(containerAddress(id))?.send({ type: 'container.claim' });
  return id;
}

/**
 * What is still being made is given up at once: the drivers hear it and the machine goes to its undo, instead of
 * waiting for the bound of a runtime that hangs (F33). Call it after the command was sent, which says why.
 */
function giveUpMaking(stage: ContainerStage, view: ContainerView, attempted: string): void {
  if (isBeingMade(view)) stage.activity.abort(view.address, `${attempted} came while it was being created`);
  if (view.state === 'starting') giveUpStart(stage, view, attempted);
}

/**
 * A start that takes its usual time is let through, so that the process gets its stop signal and its grace; one that
 * hangs is given up, and the process, which may or may not run by now, is killed (F34).
 */
function giveUpStart(stage: ContainerStage, view: ContainerView, attempted: string): void {
  const { activity, clock, directory } = stage;
  // the runtime's call, and what plugins are asked before it; a record under way is never cut off
  const held = activity.of(view.address).find(({ effect }) => effect === 'start' || effect === 'restore' || effect === 'nri');
  const sinceMonoMs = held?.sinceMonoMs ?? clock.monoMs();
  clock.setTimeout(() => {
    if (directory.container(view.id)?.state !== 'starting') return;
    if (held !== undefined && activity.of(view.address).includes(held)) activity.abort(view.address, `${attempted} came while it was being started`);
    // it may be at the next of them by now
    else giveUpStart(stage, view, attempted);
  }, Math.max(0, sinceMonoMs + actorLimits.startGivenUpMs - clock.monoMs()));
}

function untilGone(
  stage: ContainerStage,
  view: ContainerView,
  attempted: string,
  call: Call,
  command: { readonly type: string } | undefined,
): Promise<true> {
  return ask(stage, call, {
    address: view.address,
    attempted: `${attempted}: waiting for container ${view.id} to be undone`,
    ...(command === undefined ? {} : { command, onSent: () => giveUpMaking(stage, view, attempted) }),
    // one that somebody was handed meanwhile takes no notice of the command
    answer: (now, gone) => (gone || now?.state === 'owing' || now?.state === 'exited' || (command !== undefined && now?.claimed === true) ? { ok: true } : undefined),
  });
}

/** Starts a created container; a call that comes while it is starting joins. */
export function startContainer(stage: ContainerStage, id: ContainerId, call: Call): Promise<void> {
  const attempted = `StartContainer ${id}`;
  return orItsEnd(stage, id, attempted, call, () => start(stage, id, attempted, call));
}

async function start(stage: ContainerStage, id: ContainerId, attempted: string, call: Call): Promise<void> {
  const view = known(stage, id, attempted);
  const isWaiting = view.criState === 'created' && ['created', 'updating'].includes(view.state);
  if (!isWaiting && view.state !== 'starting') {
    fail('wrongState', `${attempted}: the container is ${view.path}, not created`, { subject: id });
  }
  readySandbox(stage, view.spec.key.sandboxId, attempted);
  const startCommand: ContainerEvent = { type: 'container.start', nowNs: stage.clock.nowNs() };
  await ask(stage, call, {
    address: view.address,
    attempted,
    ...(isWaiting ? { command: startCommand } : {}),
    answer: (now, gone): Outcome<true> | undefined => {
      // whatever came of it since: it was started, which others may have seen
      if (now?.kind === 'container' && now.startedAtNs !== undefined && now.criState !== 'created') return { ok: true };
      if (now?.kind !== 'container' || gone) return { fault: fault('notFound', `${attempted}: the container was removed`) };
      if (now.state === 'exited' && now.startFault !== undefined) {
        return { fault: forCall({ ...now.startFault, message: `${attempted}: ${now.startFault.message}` }, attempted, id) };
      }
      // it ended while an update of its limits held the start back
      if (now.criState === 'exited') return { fault: fault('wrongState', `${attempted}: the container is ${now.path}, not created`, { subject: id }) };
      return undefined;
    },
  });
}

function known(stage: ContainerStage, id: ContainerId, attempted: string): ContainerView {
  return stage.directory.container(id) ?? fail('notFound', `${attempted}: no such container`, { subject: id });
}

/**
 * Ends a container: stop signal, KILL after `graceMs`. A later call with a shorter grace shortens the first.
 * Succeeds when it has ended or is unknown.
 */
export async function stopContainer(stage: ContainerStage, id: ContainerId, graceMs: number, call: Call): Promise<void> {
  const view = stage.directory.container(id);
  if (view === undefined) return;
  if (view.state === 'quarantined') {
    await stage.sweepContainer(view, false);
    return;
  }
  const attempted = `StopContainer ${id}`;
  const { clock } = stage;
  const stopCommand: ContainerEvent = {
    type: 'container.stop',
    graceMs,
    nowMonoMs: clock.monoMs(),
    nowNs: clock.nowNs(),
  };
  await ask(stage, call, {
    address: view.address,
    attempted,
    command: stopCommand,
    onSent: () => giveUpMaking(stage, view, attempted),
    answer: (now, gone): Outcome<true> | undefined => {
      if (gone || now?.state === 'exited' || now?.state === 'removing') return { ok: true };
      if (now?.state === 'owing') return { fault: now.fault ?? fault('outside', `${attempted}: its undo is owed`) };
      return undefined;
    },
  });
}

/** Removes a container, killing it first when it runs. Succeeds when it is unknown. */
export async function removeContainer(stage: ContainerStage, id: ContainerId, call: Call): Promise<void> {
  const view = stage.directory.container(id);
  if (view === undefined) return;
  if (view.state === 'quarantined') {
    await stage.sweepContainer(view, true);
    return;
  }
  const attempted = `RemoveContainer ${id}`;
  const removeCommand: ContainerEvent = { type: 'container.remove', nowMonoMs: stage.clock.monoMs() };
  await ask(stage, call, {
    address: view.address,
    attempted,
    command: removeCommand,
    onSent: () => giveUpMaking(stage, view, attempted),
    answer: (now, gone): Outcome<true> | undefined => {
      if (gone) return { ok: true };
      if (now?.settled !== true || (now.state !== 'exited' && now.state !== 'owing')) return undefined;
      const why = now.fault;
      return { fault: fault(why?.kind ?? 'outside', `${attempted}: ${why?.message ?? `it stays in state ${now.path}`}`) };
    },
  });
}

/**
 * Changes the limits of a created or running container, also of one that has its grace; what `change` leaves unset stays.
 * Updates of one container follow one another. Settles once the limits are in force and durable; a fault leaves them as they were, unless it is
 * the disk's: where that refuses the record of their end, they are in force and told all the same.
 */
export async function setLimits(stage: ContainerStage, id: ContainerId, change: Resources, call: Call): Promise<void> {
  const attempted = `UpdateContainerResources ${id}`;
  const view = updatable(stage, id);
  const opId = stage.ports.random.id();
  const updateCommand: ContainerEvent = { type: 'container.update', update: { opId, change } };
  await ask(stage, call, {
    address: view.address,
    attempted,
    command: updateCommand,
    answer: (now, gone): Outcome<true> | undefined => {
      if (now?.kind !== 'container' || gone) return { fault: fault('notFound', `${attempted}: the container was removed`) };
      const outcome = now.updated.find((one) => one.opId === opId);
      if (outcome !== undefined) return outcomeOf(outcome.fault, attempted);
      if (!now.updatable) return { fault: fault('wrongState', `${attempted}: the container is ${now.path}`, { subject: id }) };
      if (now.updating.includes(opId)) return undefined;
      return { fault: fault('outside', `${attempted}: interrupted in state ${now.path}`, { subject: id, retryable: true }) };
    },
  });
}

/** The container, when its limits can be changed. Throws `notFound` and `wrongState`. */
export function updatable(stage: ContainerStage, id: ContainerId): ContainerView {
  const attempted = `UpdateContainerResources ${id}`;
  const view = known(stage, id, attempted);
  if (!view.listed) fail('notFound', `${attempted}: no such container`, { subject: view.id });
  // no runtime knows it before its start
  if (view.state === 'created' && view.init === undefined) fail('wrongState', `${attempted}: the container is not restored yet`, { subject: view.id });
  if (view.updatable) return view;
  return fail('wrongState', `${attempted}: the container is ${view.path}, neither created nor running`, { subject: view.id });
}

function outcomeOf(why: Fault | undefined, attempted: string): Outcome<true> {
  return why === undefined ? { ok: true } : { fault: { ...why, message: `${attempted}: ${why.message}` } };
}

/** What StopPodSandbox and RemovePodSandbox ask of each container. */
export async function endAll(
  stage: ContainerStage,
  sandboxId: SandboxId,
  call: Call,
  how: 'stop' | 'remove',
): Promise<void> {
  const results = await Promise.allSettled(
    stage.directory.containersOf(sandboxId).map((view) => {
      if (how === 'remove') return removeContainer(stage, view.id, call);
      // the CRI: containers still running are forcibly terminated; the kubelet has stopped them before
      return stopContainer(stage, view.id, 0, call);
    }),
  );
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}
