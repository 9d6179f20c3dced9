/** Why each image and layer is kept: the addresses of its users. Pure. */
import type { Digest } from '../../base/ids.ts';
import type { ImageFetching } from '../../ports/journal.ts';
import type { ImageRecord } from '../../ports/specs.ts';
import type { ContainerView, PullView } from '../directory/views.ts';

export interface KeptLayer {
  readonly diffId: Digest;
  /**
   * Addresses: `image/<id>`, `container/<id>`, `unfinished/<image id>` for a pull that is under way or was interrupted.
   */
  readonly keepers: readonly string[];
}

export interface KeptImage {
  readonly image: ImageRecord;
  /** Addresses of containers that run it or mount it as a volume, and of its pulls under way. */
  readonly keepers: readonly string[];
  /** The lowest layer first. */
  readonly layers: readonly KeptLayer[];
}

export interface KeptContent {
  readonly images: readonly KeptImage[];
  /** Layers that belong to no present image: containers still use them, or an unfinished pull needs them. */
  readonly others: readonly KeptLayer[];
}

export function keepersOf(
  images: readonly ImageRecord[],
  containers: readonly ContainerView[],
  pulls: readonly PullView[],
  unfinished: readonly ImageFetching[],
): KeptContent {
  const ofImage = new Map<string, string[]>();
  const ofLayer = new Map<Digest, string[]>();
  const imageLayers = new Set(images.flatMap(({ layers }) => layers.map(({ diffId }) => diffId)));
  for (const { id, layers } of images) for (const { diffId } of layers) add(ofLayer, diffId, `image/${id}`);
  for (const { address, image } of containers) {
    for (const { id, layers } of [image, ...(image.volumes ?? [])]) {
      add(ofImage, id, address);
      for (const diffId of layers) add(ofLayer, diffId, address);
    }
  }
  for (const { id, layers } of unfinished)
    for (const { diffId } of layers) add(ofLayer, diffId, `unfinished/${id}`);
  for (const { address, imageId } of pulls) add(ofImage, imageId, address);
  const layer = (diffId: Digest): KeptLayer => ({ diffId, keepers: ofLayer.get(diffId) ?? [] });
  return {
    images: images.map((image) => ({
      image,
      keepers: ofImage.get(image.id) ?? [],
      layers: image.layers.map(({ diffId }) => layer(diffId)),
    })),
    others: [...ofLayer.keys()].filter((diffId) => !imageLayers.has(diffId)).map(layer),
  };
}

function add<K>(map: Map<K, string[]>, key: K, keeper: string): void {
  const keepers = map.get(key) ?? [];
  // a container may use one image as root and as volume; an image may contain one layer twice
  if (!keepers.includes(keeper)) keepers.push(keeper);
  map.set(key, keepers);
}
