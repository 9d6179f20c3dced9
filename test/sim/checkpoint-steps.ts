/** How the steps of the checkpoints' twin happen, and what it reads archives from. */
import type { EffectContext } from '../../src/ports/effect.ts';
import type { RestoreSource } from '../../src/ports/specs.ts';
import { fail } from '../../src/base/fault.ts';
import type { SimArchive } from './checkpoint-model.ts';
import type { Kernel } from './kernel.ts';
import type { Outside } from './outside.ts';
import { imageOf, REFERENCES } from './storage-images-twins.ts';

/** A hand on each step: `criu.<step>`. */
export type AroundStep = <T>(step: string, work: () => Promise<T>) => Promise<T>;

/** What the driver has for one life. */
export interface CheckpointStage {
  readonly kernel: Kernel;
  readonly outside: Outside;
  readonly epoch: number;
  /** A step that can fail, hang and be given up: its parts in order. */
  step(step: string, fx: EffectContext | undefined, parts: readonly (() => void)[]): Promise<void>;
  /** A step that is done whatever happens, so long as the daemon lives. */
  surely(step: string, act: () => void): Promise<void>;
}

/** The steps of the life `epoch`. */
export function stageOf(
  kernel: Kernel,
  outside: Outside,
  epoch: number,
  around: AroundStep,
): CheckpointStage {
  const call = outside.life(epoch);
  return {
    kernel,
    outside,
    epoch,
    step: (step, fx, parts) => around(`criu.${step}`, () => call(`criu.${step}`, fx, parts, () => undefined)),
    surely: (step, act) =>
      around(
        `criu.${step}`,
        () =>
          new Promise<void>((resolve) => {
            outside.soon(epoch, `criu.${step}`, () => {
              act();
              resolve();
            });
          }),
      ),
  };
}

/** What a source holds. Throws `invalidRequest` for what is no checkpoint, `outside` for a layer that is gone. */
export function archiveAt(kernel: Kernel, from: RestoreSource['from'], attempted: string): SimArchive {
  if ('archive' in from) {
    const found = kernel.checkpoints.archives.get(from.archive);
    return found?.isWhole === true
      ? found
      : fail('invalidRequest', `${attempted}: read checkpoint ${from.archive}: it does not exist`, {
          subject: from.archive,
        });
  }
  if (!kernel.layers.has(from.layer))
    return fail('outside', `${attempted}: read checkpoint: layer ${from.layer} is not present`, {
      subject: from.layer,
    });
  return { imageId: imageOf(REFERENCES[0] ?? '').id, files: 1, isWhole: true, isSynced: true, writtenNs: 0n };
}

/** Of a description: by its image, since nothing else is in one. */
export function digestOf({ imageId }: SimArchive): string {
  return `sha256:of-${imageId}`;
}
