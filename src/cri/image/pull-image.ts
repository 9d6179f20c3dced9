import { requestLimits } from '../bounds.ts';
import type { ImageService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../call/edge.ts';
import type { ServiceOptions } from '../call/service-options.ts';
import { forKubelet } from '../call/status.ts';
import { line, translated } from '../validate/check.ts';
import { imageName, registryAuth } from '../validate/image.ts';

/**
 * PullImage: answers the image id as in all other answers. Credentials of the request take precedence over configured
 * ones.
 */
export function pullImage({
  troupe,
}: Pick<ServiceOptions, 'troupe'>): RpcHandler<typeof ImageService.method.pullImage> {
  return async ({ image, auth, sandboxConfig }, context) => {
    const [reference, credentials, namespace] = translated('PullImage', () => [
      imageName('image', image, troupe.handlers()),
      registryAuth('auth', auth),
      line(
        'sandbox_config.metadata.namespace',
        sandboxConfig?.metadata?.namespace ?? '',
        requestLimits.nameBytes,
      ),
    ]);
    try {
      return { imageRef: await troupe.pullImage({ reference, auth: credentials, namespace }, context) };
    } catch (thrown) {
      throw forKubelet(thrown);
    }
  };
}
