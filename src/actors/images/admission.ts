/** Checks the signature policy again before a container is created from an image that was pulled earlier. */
import { fail, FaultError, toFault } from '../../base/fault.ts';
import type { ImageId } from '../../base/ids.ts';
import { actorLimits } from '../bounds.ts';
import type { Activity } from '../effects/activity.ts';
import type { Call } from '../directory/ask.ts';
import type { Ports } from '../../ports/ports.ts';
import type { ContainerSpec } from '../../ports/specs.ts';
import type { Ledger } from '../ledger/ledger.ts';

interface AdmissionStage {
  readonly ports: Pick<Ports, 'policy'>;
  readonly ledger: Pick<Ledger, 'images'>;
  readonly activity: Activity;
}

/**
 * Rejects with `denied` when the policy of the pod's namespace refuses the container's image or one that it mounts. The
 * check at the pull is not enough: it may have been made for another namespace, or before the policy changed.
 */
export async function admitImages(
  stage: AdmissionStage,
  spec: ContainerSpec,
  namespace: string,
  attempted: string,
  call: Call,
): Promise<void> {
  const { imageId } = spec;
  const wanted = new Map<ImageId, string>(
    spec.mounts.flatMap(({ image }) => (image === undefined ? [] : [[image.id, '']])),
  );
  // the request names the checkpoint; the name of its base image is only a claim of the checkpoint and not used
  if (spec.restore === undefined) wanted.set(imageId, imageNameOf(spec, imageId));
  else wanted.set(imageId, '');
  if (spec.restore !== undefined && 'image' in spec.restore.from)
    wanted.set(spec.restore.from.image, imageNameOf(spec, spec.restore.from.image));
  for (const [id, reference] of wanted) {
    const image =
      stage.ledger.images.get(id) ??
      fail('notFound', `${attempted}: image ${id}${id === imageId ? '' : ', which it mounts'}: not found`, {
        subject: id,
      });
    try {
      await stage.activity.runForCall(
        call,
        { attempted, owner: `image/${id}`, effect: 'admitAgain', timeoutMs: actorLimits.admitMs },
        (fx) => stage.ports.policy.admitAgain({ namespace, reference, image }, fx),
      );
    } catch (thrown) {
      throw new FaultError(toFault(thrown, attempted));
    }
  }
}

/**
 * The name that the pod gave the image; empty if it gave the id. The kubelet sends the id and, beside it, that name.
 */
export function imageNameOf({ imageRequested, imageUserSpecified }: ContainerSpec, id: ImageId): string {
  if (imageUserSpecified !== '') return imageUserSpecified;
  return isId(imageRequested, id) ? '' : imageRequested;
}

/** Whether a text is the image's id, whole or a prefix, with or without its algorithm, as `findImage` accepts it. */
export function isId(text: string, id: ImageId): boolean {
  return id.startsWith(text) || id.slice('sha256:'.length).startsWith(text);
}
