import { edgeLimits } from '../bounds.ts';
import type { ImageService } from '../../gen/runtime/v1/api_pb.ts';
import type { StreamRpcHandler } from '../call/edge.ts';
import type { ImageList } from '../present/image.ts';
import type { ServiceOptions } from '../call/service-options.ts';
import { imagesListed } from './list-images.ts';

/** StreamImages: the answer of ListImages in parts, all of the same moment. */
export function streamImages(
  { troupe }: Pick<ServiceOptions, 'troupe'>,
  list: () => ImageList,
): StreamRpcHandler<typeof ImageService.method.streamImages> {
  return async ({ filter }, _context, write) => {
    const images = imagesListed(troupe, 'StreamImages', filter);
    for (const batch of list().batches(images, edgeLimits.listBatchItems, edgeLimits.listBatchBytes))
      await write(batch);
  };
}
