import type { ImageService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../edge.ts';
import { imageList } from '../present/image.ts';
import type { ServiceOptions } from '../service-options.ts';
import { translated } from '../validate/check.ts';
import { imageName } from '../validate/image.ts';

/** ListImages: all, or the one that the filter names. */
export function listImages({ troupe }: Pick<ServiceOptions, 'troupe'>): RpcHandler<typeof ImageService.method.listImages> {
  return async ({ filter }) => {
    const wanted = filter?.image;
    if (wanted === undefined || wanted.image === '') return imageList.answer(troupe.images());
    const found = troupe.findImage(translated('ListImages', () => imageName('filter.image', wanted, troupe.handlers())));
    return imageList.answer(found === undefined ? [] : [found]);
  };
}
