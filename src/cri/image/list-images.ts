import type { ImageRecord } from '../../ports/specs.ts';
import type { ImageFilter, ImageService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../call/edge.ts';
import type { ImageList } from '../present/image.ts';
import type { ServiceOptions } from '../call/service-options.ts';
import { translated } from '../validate/check.ts';
import { imageName } from '../validate/image.ts';

/** ListImages: all images, or the one that the filter names. */
export function listImages(
  { troupe }: Pick<ServiceOptions, 'troupe'>,
  list: () => ImageList,
): RpcHandler<typeof ImageService.method.listImages> {
  return async ({ filter }) => list().answer(imagesListed(troupe, 'ListImages', filter));
}

/** The images that a list with this filter shows now. */
export function imagesListed(
  troupe: ServiceOptions['troupe'],
  rpc: string,
  filter: ImageFilter | undefined,
): readonly ImageRecord[] {
  const wanted = filter?.image;
  if (wanted === undefined || wanted.image === '') return troupe.images();
  const found = troupe.findImage(translated(rpc, () => imageName('filter.image', wanted, troupe.handlers())));
  return found === undefined ? [] : [found];
}
