import type { ImageService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../call/edge.ts';
import { imageMessage } from '../present/image.ts';
import { imageInfo } from '../present/info.ts';
import type { ServiceOptions } from '../call/service-options.ts';
import { translated } from '../validate/check.ts';
import { imageName } from '../validate/image.ts';

/** ImageStatus: an image that is not present is an empty answer, not an error. */
export function imageStatus({
  troupe,
}: Pick<ServiceOptions, 'troupe'>): RpcHandler<typeof ImageService.method.imageStatus> {
  return async ({ image, verbose }) => {
    const found = troupe.findImage(
      translated('ImageStatus', () => imageName('image', image, troupe.handlers())),
    );
    if (found === undefined) return {};
    return { image: imageMessage(found, troupe.isPinned(found)), info: verbose ? imageInfo(found) : {} };
  };
}
