import type { ImageService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../call/edge.ts';
import { imageMessage } from '../present/image.ts';
import { imageInfo } from '../present/info.ts';
import type { ServiceOptions } from '../call/service-options.ts';
import { translated } from '../validate/check.ts';
import { imageName } from '../validate/image.ts';

/**
 * ImageStatus: an image that is not present is an empty answer, not an error. So is a prefix of several ids, as with
 * CRI-O: before a pull clients ask for a name, and who makes images can choose the first digits of their ids. A refusal
 * would keep the image of that name, such as `facade`, from being pulled (S30).
 */
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
