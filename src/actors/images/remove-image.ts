/** RemoveImage. */
import { FaultError, fail, toFault } from '../../base/fault.ts';
import type { ImageId } from '../../base/ids.ts';
import { actorLimits } from '../bounds.ts';
import { askPull } from '../directory/ask.ts';
import type { Call } from '../directory/ask.ts';
import { isCommitting } from '../directory/phases.ts';
import { findImage, isIdText, lookUpImage } from './catalog.ts';
import type { ImageStage } from './image-stage.ts';

/**
 * Waits for pulls of the name that are writing their record. Those complete even if all callers have gone, and would
 * bring the image back after RemoveImage has reported success (I7).
 */
async function untilCommitted(stage: ImageStage, name: string, call: Call): Promise<void> {
  const { directory, ports } = stage;
  const attempted = `RemoveImage ${name}`;
  const coming = directory.pulls().filter((view) => {
    const { imageId, reference, repoDigest } = view;
    const image = { id: imageId as ImageId, repoTags: [reference], repoDigests: [repoDigest] };
    return (
      isCommitting(view) && findImage([image], name, (one) => ports.images.candidates(one)) !== undefined
    );
  });
  const waits = coming.map(({ address }) =>
    askPull<true>(stage, call, {
      address,
      attempted: `${attempted}: waiting for its pull to be recorded`,
      answer: (_view, gone) => (gone ? { ok: true } : undefined),
    }),
  );
  await Promise.all(waits);
}

/**
 * Throws `denied` for a short name while registries.conf is unusable: its meaning is unknown, so reporting that the
 * image is gone could be wrong (F95).
 */
function refuseUnknown({ ports }: ImageStage, name: string): void {
  if (isIdText(name)) return;
  try {
    ports.images.candidates(name);
  } catch (thrown) {
    const { kind } = toFault(thrown);
    if (kind === 'denied') throw new FaultError(toFault(thrown, `RemoveImage ${name}`));
  }
}

/**
 * Refuses an image that a container mounts: its files would stay on the disk without an owner. CRI-O refuses it, too.
 */
function refuseMounted({ directory }: ImageStage, id: ImageId): void {
  const user = directory
    .containers()
    .find(
      ({ image, criState }) =>
        criState !== 'exited' && image.volumes?.some((volume) => volume.id === id) === true,
    );
  if (user !== undefined)
    fail('wrongState', `RemoveImage ${id}: container ${user.id} has it mounted as a volume`, { subject: id });
}

/**
 * Removes the image that the name refers to, with all its names, as critest's image specs expect. Deletes the layers
 * that nothing else uses before it resolves. Succeeds when no image has the name. Refuses a prefix of several ids, as
 * those of pods and containers are: success would say that the image is gone.
 */
export async function removeImage(stage: ImageStage, name: string, call: Call): Promise<void> {
  await untilCommitted(stage, name, call);
  const found = lookUpImage(stage.ledger.images.values(), name, (reference) =>
    stage.ports.images.candidates(reference),
  );
  if (found.found !== 'one') {
    if (found.found === 'many')
      fail('invalidRequest', `RemoveImage ${name}: it is a prefix of several ids`, { subject: name });
    refuseUnknown(stage, name);
    return;
  }
  const { image } = found;
  refuseMounted(stage, image.id);
  const owner = `image/${image.id}`;
  const effect = {
    attempted: `RemoveImage ${name}`,
    owner,
    effect: 'removeImage',
    timeoutMs: actorLimits.removeRootfsMs,
  };
  await stage.activity.runForCall(call, effect, async (fx) => {
    fx.note({ on: 'journal sync' });
    await stage.ports.journal.append([{ type: 'image.removed', id: image.id }], { sync: true });
    fx.note({ on: 'removal of layers' });
    try {
      fx.signal.throwIfAborted();
      await stage.layers.collect(
        image.layers.map((layer) => layer.diffId),
        fx,
      );
    } catch (thrown) {
      // the removal is recorded, so a repeated call would find no image: the janitor deletes the layers
      stage.layersLeft();
      throw thrown;
    }
  });
}
