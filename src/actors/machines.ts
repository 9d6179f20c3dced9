/** The machines of pods, containers and pulls with their effects. */
import type { Activity } from './effects/activity.ts';
import { containerEffects } from './container/container.effects.ts';
import { containerMachine } from './container/container.machine.ts';
import { pullEffects } from './image-pull/image-pull.effects.ts';
import { imagePullMachine } from './image-pull/image-pull.machine.ts';
import type { PullProgress } from './image-pull/progress.ts';
import type { LayerBook } from './ledger/layer-book.ts';
import type { Ports } from '../ports/ports.ts';
import { sandboxEffects } from './sandbox/sandbox.effects.ts';
import type { ContainersOf } from './sandbox/sandbox.effects.ts';
import { sandboxMachine } from './sandbox/sandbox.machine.ts';

/** What the effects work with. */
export interface MachineParts {
  readonly ports: Ports;
  readonly activity: Activity;
  readonly layers: LayerBook;
  readonly progress: PullProgress;
  readonly containersOf: ContainersOf;
}

export type Machines = ReturnType<typeof machinesOf>;

/**
 * Each is built when its first actor starts: xstate then reads all of a machine, some milliseconds of a start. Nothing
 * of the parts is called before an actor runs.
 */
export function machinesOf({ ports, activity, layers, progress, containersOf }: MachineParts) {
  const sandbox = once(() => sandboxMachine(sandboxEffects(ports, activity, containersOf), activity));
  const container = once(() => containerMachine(containerEffects(ports, activity), activity));
  const pull = once(() => imagePullMachine(pullEffects(ports, activity, layers, progress)));
  return {
    get sandbox() {
      return sandbox();
    },
    get container() {
      return container();
    },
    get pull() {
      return pull();
    },
  };
}

function once<T extends object>(build: () => T): () => T {
  let built: T | undefined;
  return () => (built ??= build());
}
