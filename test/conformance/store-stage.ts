/** The machine that the suites of storage and images run on: a layer store, a registry, root file systems. */
import type { ImagesPort, ResolvedImage } from '../../src/ports/images.ts';
import type { Layer } from '../../src/ports/specs.ts';
import type { StoragePort } from '../../src/ports/storage.ts';
import type { ContainerId, Digest } from '../../src/base/ids.ts';
import { fxOf } from '../support/fx.ts';

/**
 * How the registry goes wrong: it has not got it, gives it to nobody, has too much to do, sends other bytes, or says
 * nothing.
 */
export type Refusal = 'absent' | 'denied' | 'busy' | 'corrupt' | 'silent';

export interface StoreStage {
  readonly storage: StoragePort;
  readonly images: ImagesPort;
  /** The daemon dies and another begins on the same machine: drivers that know nothing. */
  restart(): Promise<void>;
  /** References with tags of two images that share their lowest layer and have one more each, and of none. */
  readonly references: { readonly one: string; readonly two: string; readonly none: string };
  container(number: number): ContainerId;
  /** What the registry does when it is asked for manifests, or for layers, until `heal`. */
  refuse(what: 'manifests' | 'layers', how: Refusal): void;
  heal(): void;
  /** Runs `act` when the registry was asked and says nothing. */
  whenHanging(act: () => void): void;
  /** Times that a layer was asked of the registry. */
  downloads(): number;
  /** Somebody takes files of a layer away. */
  breakLayer(diffId: Digest): void;
  /** What a pull leaves whose daemon was killed. */
  leaveHalfPull(): void;
  /** Settles when what is deleted in the background is gone. */
  swept(): Promise<void>;
  /** Things of pulls that are not whole. */
  partials(): number;
  /** The container writes one more file into its root. */
  write(id: ContainerId): void;
  /** How many it wrote that are there; only while mounted. */
  written(id: ContainerId): number;
  /** A process works in the root file system. Returns its end. */
  use(id: ContainerId): () => void;
  close(): Promise<void>;
}

export const fx = fxOf();

export const resolve = ({ images }: StoreStage, reference: string, effect = fx): Promise<ResolvedImage> =>
  images.resolve({ reference, auth: undefined }, effect);

/** Fetches one layer; gives the last count of bytes that was heard. */
export async function fetchLayer(
  { images }: StoreStage,
  image: ResolvedImage,
  layer: Layer,
  effect = fx,
): Promise<number> {
  let heard = 0;
  const { repoTag: reference, repoDigest } = image;
  await images.fetchLayer(
    { reference, repoDigest, auth: undefined, layer },
    { ...effect, onBytes: (bytes) => void (heard = bytes) },
  );
  return heard;
}

/** Resolves and fetches all of it. */
export async function pulled(stage: StoreStage, reference: string): Promise<ResolvedImage> {
  const image = await resolve(stage, reference);
  for (const layer of image.layers) await fetchLayer(stage, image, layer);
  return image;
}

/** Diff-ids, lowest first. */
export const layersOf = (image: ResolvedImage): Digest[] => image.layers.map((layer) => layer.diffId);
