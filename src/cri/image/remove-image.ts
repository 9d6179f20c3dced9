import type { ImageService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../call/edge.ts';
import type { ServiceOptions } from '../call/service-options.ts';
import { translated } from '../validate/check.ts';
import { imageName } from '../validate/image.ts';

/**
 * RemoveImage: removes the image with all its names; succeeds when it is not present. An empty name is refused: it must
 * not mean "any".
 */
export function removeImage({
  troupe,
}: Pick<ServiceOptions, 'troupe'>): RpcHandler<typeof ImageService.method.removeImage> {
  return async ({ image }, context) => {
    await troupe.removeImage(
      translated('RemoveImage', () => imageName('image', image, troupe.handlers())),
      context,
    );
    return {};
  };
}
