/** ImageRecord and file system usage → CRI messages. Pure. */
import type { MessageInitShape } from '@bufbuild/protobuf';
import { create, toBinary } from '@bufbuild/protobuf';
import type { ImageRecord } from '../../ports/specs.ts';
import type { FilesystemUsage } from '../../ports/storage.ts';
import type { FilesystemUsageSchema } from '../../gen/runtime/v1/api_pb.ts';
import { ImageSchema } from '../../gen/runtime/v1/api_pb.ts';
import { derived } from '../../base/derived.ts';
import { ListBytes } from './list-bytes.ts';

/** Encodes the answers of ListImages. */
export type ImageList = ListBytes<ImageRecord>;

/** The list whose kept entries show what `pinning` gives now: another function makes another list. */
export function imageList(pinning: () => (image: ImageRecord) => boolean): () => ImageList {
  return derived(
    pinning,
    (isPinned) =>
      new ListBytes((image) =>
        toBinary(ImageSchema, create(ImageSchema, imageMessage(image, isPinned(image)))),
      ),
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
 * The user of an image: a uid or a name, never both, since the kubelet decides runAsNonRoot by it. `USER` is
 * `user[:group]`, checked when the image was pulled; an image without one runs as root.
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
