/** The part of the checkpoints' twin that brings archives in and makes processes of them. */
import type { CheckpointPort } from '../../src/ports/checkpoint.ts';
import type { ProcessIdentity } from '../../src/ports/journal.ts';
import { fail } from '../../src/base/fault.ts';
import type { ContainerId } from '../../src/base/ids.ts';
import { archiveAt, digestOf } from './checkpoint-steps.ts';
import type { CheckpointStage } from './checkpoint-steps.ts';

export function restoreTwin(stage: CheckpointStage): Pick<CheckpointPort, 'import' | 'restore'> {
  const { kernel } = stage;
  const { restores } = kernel.checkpoints;
  return {
    import: async ({ id, restore }, fx) => {
      const attempted = `restore container ${id}`;
      await stage.step('import', fx, [
        () => void restores.set(id, { hasImages: false, isMarked: false }),
        () => {
          // its image was there when the container was begun (F08)
          if ('layer' in restore.from && !kernel.layers.has(restore.from.layer))
            kernel.wrongs.push(`layer ${restore.from.layer} deleted while ${id} is restored from it`);
          if (digestOf(archiveAt(kernel, restore.from, attempted)) !== restore.digest)
            fail('invalidRequest', `${attempted}: read checkpoint: it is another one`, { subject: id });
          restores.set(id, { hasImages: true, isMarked: false });
        },
      ]);
      // its files are brought in by the same reader, from where it has put them
      await stage.step('importFiles', fx, [
        () => {
          const rootfs = kernel.rootfs.get(id);
          if (rootfs?.mounted !== true) kernel.wrongs.push(`files for ${id} without a root file system`);
          if (rootfs !== undefined) rootfs.files = archiveAt(kernel, restore.from, attempted).files;
        },
      ]);
    },
    restore: async ({ id, spec }, fx) => {
      const here = restores.get(id);
      if (here?.hasImages !== true)
        return fail('notFound', `restore container ${id}: checkpoint not found`, {
          subject: id,
        });
      let init: ProcessIdentity | undefined;
      try {
        await stage.step('mark', fx, [() => void (here.isMarked = true)]);
        await stage.step('restore', fx, [
          () => launch(stage, id),
          () => kernel.limits.set(id, spec.resources),
          () => {
            kernel.runtimeStates.set(id, 'running');
            init = kernel.spawn('init', id);
            kernel.startProgram(id);
          },
        ]);
        // from here on a later instance finds a container that runs
        await stage.step('unmark', fx, [() => void (here.isMarked = false)]);
        return init ?? fail('bug', 'restored without a process');
      } catch (thrown) {
        await stage.surely('unrestore', () => {
          kernel.kill('monitor', id);
          kernel.kill('init', id);
        });
        throw thrown;
      } finally {
        await stage.surely('dropImages', () => void restores.delete(id));
      }
    },
  };
}

function launch({ kernel }: CheckpointStage, id: ContainerId): void {
  if (!kernel.bundles.has(id))
    fail('notFound', `restore container ${id}: no bundle was written for it`, { subject: id });
  if (kernel.processOf('monitor', id) !== undefined) kernel.wrongs.push(`a second monitor of ${id}`);
  kernel.spawn('monitor', id);
  kernel.logs.open(id);
}
