/** Implements the Troupe: each call is a command over the stage, or a question to the root actor. */
import type { ActorRefFrom } from 'xstate';
import { derived } from '../base/derived.ts';
import { actorLimits } from './bounds.ts';
import { checkpointContainer } from './commands/checkpoint-container.ts';
import { checkpointSandbox } from './commands/checkpoint-sandbox.ts';
import { describeCheckpoint } from './commands/describe-checkpoint.ts';
import { createContainer } from './commands/create-container.ts';
import { removeContainer } from './commands/remove-container.ts';
import { startContainer } from './commands/start-container.ts';
import { stopContainer } from './commands/stop-container.ts';
import { execSync } from './commands/exec-sync.ts';
import { reopenLog } from './commands/reopen-log.ts';
import { findImage, lookUpImage, sourceNamed } from './images/catalog.ts';
import { keepersOf } from './images/keepers.ts';
import { pinnedBy } from './images/pinned.ts';
import { pullImage } from './images/pull-image.ts';
import { removeImage } from './images/remove-image.ts';
import type { Call } from './directory/ask.ts';
import type { Directory } from './directory/directory.ts';
import type { rootMachine } from './root/root.machine.ts';
import { removeSandbox } from './commands/remove-sandbox.ts';
import { runSandbox } from './commands/run-sandbox.ts';
import { stopSandbox } from './commands/stop-sandbox.ts';
import type { CommandStage } from './stage.ts';
import type { ImagesPort } from '../ports/images.ts';
import type { Troupe } from './troupe.ts';
import { updateContainer } from './commands/update-container.ts';
import { updateSandbox } from './commands/update-sandbox.ts';

/** The root actor. */
export type RootRef = ActorRefFrom<ReturnType<typeof rootMachine>>;

export interface CallsOptions {
  /** Parent of the cgroups of pods whose client names no parent; empty: the drivers choose. */
  readonly cgroupParent?: string;
  /** Images that the kubelet's garbage collection must keep (`images.pinned`): another list when it has changed. */
  readonly pinned?: () => readonly string[];
}

const NONE_PINNED: readonly string[] = [];

/** Made anew for other patterns, and for another registries.conf: a pattern may be a short name. */
function pinsOf(images: ImagesPort, patterns: () => readonly string[]): () => Troupe['isPinned'] {
  const test = derived(
    () => images.naming(),
    () => derived(patterns, (now) => pinnedBy(now, (reference) => images.candidates(reference))),
  );
  return () => test()();
}

/** The Troupe of these actors. It does nothing before `start()`. */
export function troupeOf(
  stage: CommandStage,
  root: RootRef,
  { cgroupParent = '', pinned = () => NONE_PINNED }: CallsOptions,
): Troupe {
  const { ports, ledger, directory, activity } = stage;
  const pins = pinsOf(ports.images, pinned);
  return {
    directory,
    activity,
    ...lifeOf(root, directory),
    writeRefusal: () => ports.host.writeRefusal?.(),
    runSandbox: (spec, call) =>
      runSandbox(stage, spec.cgroupParent === '' ? { ...spec, cgroupParent } : spec, call),
    stopSandbox: (id, call) => stopSandbox(stage, id, call),
    removeSandbox: (id, call) => removeSandbox(stage, id, call),
    createContainer: (spec, call) => createContainer(stage, spec, call),
    startContainer: (id, call) => startContainer(stage, id, call),
    stopContainer: (id, graceMs, call) => stopContainer(stage, id, graceMs, call),
    removeContainer: (id, call) => removeContainer(stage, id, call),
    updateContainer: (id, change, call) => updateContainer(stage, id, change, call),
    updateSandbox: (id, wanted, call) => updateSandbox(stage, id, wanted, call),
    execSync: (id, argv, timeoutMs, call) => execSync(stage, id, argv, timeoutMs, call),
    reopenLog: (id, call) => reopenLog(stage, id, call),
    checkpointContainer: (wanted, timeoutMs, call) => checkpointContainer(stage, wanted, timeoutMs, call),
    checkpointSandbox: (id, request, call) => checkpointSandbox(stage, id, request, call),
    describeCheckpoint: (request, call) => describeCheckpoint(stage, request, call),
    pullImage: async (request, call) => (await pullImage(stage, request, call)).imageId,
    removeImage: (name, call) => removeImage(stage, name, call),
    findImage: (name) =>
      findImage(ledger.images.values(), name, (reference) => ports.images.candidates(reference)),
    isAmbiguousImage: (name) =>
      lookUpImage(ledger.images.values(), name, (reference) => ports.images.candidates(reference)).found ===
      'many',
    sourceOf: (image, reference) => sourceNamed(image, reference, (text) => ports.images.candidates(text)),
    images: () => [...ledger.images.values()],
    get isPinned() {
      return pins();
    },
    keptImages: () =>
      keepersOf([...ledger.images.values()], directory.containers(), directory.pulls(), [
        ...ledger.fetching.values(),
      ]),
    pullLayers: (address) => stage.progress.of(address),
    imageUsage: (call) => imageUsage(stage, call),
    stats: ports.stats,
    written: async (id, call) =>
      ports.stats.writtenLately(id) ??
      activity
        .run('images', 'written', actorLimits.writtenMs, call.signal, (fx) => ports.stats.written(id, fx))
        // a tree that changes meanwhile or is too large to count in time: the other figures are still reported
        .catch(() => undefined),
    nowNs: () => ports.clock.nowNs(),
    networkStatus: () => ports.network.status(),
    nriPlugins: () => ports.nri.plugins(),
    handlers: () => ports.runtime.handlers(),
  };
}

function lifeOf(
  root: RootRef,
  directory: Directory,
): Pick<Troupe, 'start' | 'onFailed' | 'notReadyReason' | 'hasRecovered' | 'drain'> {
  return {
    start: () => untilServing(root),
    onFailed: (listener) => reportFailure(root, listener),
    notReadyReason: () => notReadyReason(root),
    hasRecovered: () => root.getSnapshot().context.recovered,
    drain: async () => {
      await untilDrained(root);
      directory.end();
    },
  };
}

function imageUsage({ activity, ports }: CommandStage, call: Call): ReturnType<Troupe['imageUsage']> {
  return activity.runForCall(
    call,
    { attempted: 'ImageFsInfo', owner: 'images', effect: 'usage', timeoutMs: actorLimits.hostMs },
    (fx) => ports.storage.usage(fx),
  );
}

function notReadyReason(root: RootRef): string | undefined {
  const { value, context } = root.getSnapshot();
  if (value === 'serving') return undefined;
  return context.fault?.message ?? String(value);
}

function untilServing(root: RootRef): Promise<void> {
  return new Promise((resolve, reject) => {
    root.subscribe({
      next: ({ value, context }) => {
        if (value === 'serving') resolve();
        if (value === 'failed') reject(new Error(context.fault?.message ?? 'recovery failed'));
      },
      error: reject,
    });
    root.start();
  });
}

function reportFailure(root: RootRef, listener: (reason: string) => void): void {
  const reasonOf = ({ value, context }: ReturnType<RootRef['getSnapshot']>): string | undefined =>
    value === 'failed' ? (context.fault?.message ?? 'the root actor has failed') : undefined;
  // a subscriber does not hear of the present state, and it may have failed since the recovery
  const already = reasonOf(root.getSnapshot());
  if (already !== undefined) {
    listener(already);
    return;
  }
  const subscription = root.subscribe((snapshot) => {
    const reason = reasonOf(snapshot);
    if (reason === undefined) return;
    subscription.unsubscribe();
    listener(reason);
  });
}

function untilDrained(root: RootRef): Promise<void> {
  return new Promise((resolve) => {
    root.subscribe({ complete: () => resolve() });
    root.send({ type: 'root.drain' });
  });
}
