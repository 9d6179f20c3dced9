/** ImageRecord and file system usage → CRI messages. Pure. */
import type { MessageInitShape } from '@bufbuild/protobuf';
import { create, toBinary } from '@bufbuild/protobuf';
import type { ImageRecord } from '../../ports/specs.ts';
import type { FilesystemUsage } from '../../ports/storage.ts';
import type { FilesystemUsageSchema } from '../../gen/runtime/v1/api_pb.ts';
import { ImageSchema } from '../../gen/runtime/v1/api_pb.ts';
import { ListBytes } from './list-bytes.ts';

/** What ListImages answers, encoded. */
export type ImageList = ListBytes<ImageRecord>;

/** Which images are pinned must not change while it lives. */
export function imageList(isPinned: (image: ImageRecord) => boolean): ImageList {
  return new ListBytes((image) =>
    toBinary(ImageSchema, create(ImageSchema, imageMessage(image, isPinned(image)))),
  );
}

export function imageMessage(image: ImageRecord, pinned: boolean): MessageInitShape<typeof ImageSchema> {
  return {
    id: image.id,
    repoTags: [...image.repoTags],
    repoDigests: [...image.repoDigests],
    size: BigInt(image.sizeBytes),
    ...userOf(image.config.user),
    spec: { image: image.id },
    pinned,
  };
}

/**
 * The number or the name, never both: the kubelet judges runAsNonRoot by it. `USER` is `user[:group]`, parsed when the
 * image came in; without one it is root.
 */
function userOf(user: string): { uid: { value: bigint } } | { username: string } {
  const [name = ''] = user.split(':', 1);
  if (name === '') return { uid: { value: 0n } };
  return /^[0-9]+$/u.test(name) ? { uid: { value: BigInt(name) } } : { username: name };
}

export function filesystemUsage(
  usage: FilesystemUsage,
  nowNs: bigint,
): MessageInitShape<typeof FilesystemUsageSchema> {
  return {
    timestamp: nowNs,
    fsId: { mountpoint: usage.mountpoint },
    usedBytes: { value: usage.usedBytes },
    inodesUsed: { value: usage.inodesUsed },
  };
}
