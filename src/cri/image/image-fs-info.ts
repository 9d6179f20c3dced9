import type { ImageService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../call/edge.ts';
import { filesystemUsage } from '../present/image.ts';
import type { ServiceOptions } from '../call/service-options.ts';

/** ImageFsInfo: answers both lists, since the kubelet reads the first entry of each. */
export function imageFsInfo({
  troupe,
  clock,
}: Pick<ServiceOptions, 'troupe' | 'clock'>): RpcHandler<typeof ImageService.method.imageFsInfo> {
  return async (_request, context) => {
    const { images, containers } = await troupe.imageUsage(context);
    const nowNs = clock.nowNs();
    return {
      imageFilesystems: [filesystemUsage(images, nowNs)],
      containerFilesystems: [filesystemUsage(containers, nowNs)],
    };
  };
}
