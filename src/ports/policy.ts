/** Which images may be used: signature policies, containers-policy.json(5). */
import type { EffectContext } from './effect.ts';
import type { PullAuth, ResolvedImage } from './images.ts';
import type { ImageRecord } from './specs.ts';

export interface PolicyPort {
  /**
   * Identifies the policy that applies in a Kubernetes namespace ('' where the call named none). Pulls under
   * different policies are not joined. Waits for nothing.
   */
  scope(namespace: string): string;
  /**
   * Decides before the first layer is fetched. Throws FaultError `denied`, whose message holds
   * `SignatureValidationFailed: `, for an image that the policy refuses and for a policy that can't be read;
   * `outside` when signatures can't be fetched.
   */
  admit(
    input: {
      readonly namespace: string;
      readonly auth: PullAuth | undefined;
      readonly image: ResolvedImage;
    },
    fx: EffectContext,
  ): Promise<void>;
  /**
   * Decides again for a present image before a container is created from it: the policy may have changed, or
   * another namespace's may apply. `reference` is the name in the pod's request; '' where that is unknown,
   * and then any of the image's names may match.
   */
  admitAgain(
    input: { readonly namespace: string; readonly reference: string; readonly image: ImageRecord },
    fx: EffectContext,
  ): Promise<void>;
}
