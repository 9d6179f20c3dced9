/** Which images may be used: signature policies, containers-policy.json(5). */
import type { EffectContext } from './effect.ts';
import type { RegistryAuth, ResolvedImage } from './images.ts';
import type { ImageRecord } from './specs.ts';

export interface PolicyPort {
  /**
   * A word for the policy that counts in a Kubernetes namespace ('' where the call named none): pulls under different
   * policies are not one pull. Waits for nothing.
   */
  scope(namespace: string): string;
  /**
   * Before the first layer is fetched. Throws FaultError `denied`, whose message holds `SignatureValidationFailed: `, for
   * an image that the policy refuses, and for a policy that can't be read; `outside` when signatures can't be fetched.
   */
  admit(
    input: {
      readonly namespace: string;
      readonly auth: RegistryAuth | undefined;
      readonly image: ResolvedImage;
    },
    fx: EffectContext,
  ): Promise<void>;
  /**
   * The same for an image that is here, before a container is made of it: the policy may have changed, or be another
   * namespace's. `reference` is what the pod named, '' where that is not known: then any of the image's names will do.
   */
  admitAgain(
    input: { readonly namespace: string; readonly reference: string; readonly image: ImageRecord },
    fx: EffectContext,
  ): Promise<void>;
}
