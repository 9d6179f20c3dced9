/** ImagesPort: the registry client in front, the layer store behind. */
import { createHash } from 'node:crypto';
import type { ClockPort } from '../../ports/clock.ts';
import type { ImagesPort, RegistryAuth, ResolvedImage } from '../../ports/images.ts';
import type { ImageConfig, ImageSource, Layer, StringMap } from '../../ports/specs.ts';
import { FaultError, fail, toFault } from '../../base/fault.ts';
import { storageLimits } from '../bounds.ts';
import type { BlobSink } from './registry/blob.ts';
import type { PullHandle, RegistryClient, Resolved } from './registry/client.ts';
import type { Ingests } from './registry/ingest.ts';
import { fetchKept } from './registry/kept-blob.ts';
import type { LayerStore } from './store/layer-store.ts';
import { withDeadline, untilDeadline } from '../../host/clock/deadline.ts';
import { isNondistributable } from './model/manifest.ts';
import type { Platform } from './model/platform.ts';
import { formatReference, parseReference, repositoryOf, type ImageReference } from './model/reference.ts';

export interface ImagesDriverOptions {
  readonly client: RegistryClient;
  readonly store: LayerStore;
  /** Where bytes of layers under way are kept. */
  readonly ingests: Ingests;
  readonly clock: ClockPort;
  readonly platform: Platform;
  /** Credentials left for one pull in a namespace; left out where there never are any. */
  readonly takeCredentials?: (
    references: readonly ImageReference[],
    namespace: string,
    signal: AbortSignal,
  ) => Promise<RegistryAuth | undefined>;
  /** Hears of each piece of a layer that was downloaded, in bytes. */
  readonly onDownloaded?: (bytes: number) => void;
}

/** The driver; one per store. */
export function createImagesDriver(options: ImagesDriverOptions): ImagesPort {
  const { client, store, ingests, clock } = options;
  const handles = new Handles();
  return {
    candidates: (reference) => client.candidates(reference).map(formatReference),

    takeCredentials: ({ reference, namespace }, fx) =>
      untilDeadline(clock, fx, `pull ${reference}: credentials of namespace ${namespace}`, async (signal) =>
        options.takeCredentials?.(client.candidates(reference), namespace, signal),
      ),

    resolve: ({ reference, auth }, fx) =>
      untilDeadline(clock, fx, `pull ${reference}: resolve`, async (signal) => {
        fx.note({ on: `manifest and config of ${reference}` });
        const resolved = await client.resolve({ reference, auth, platform: options.platform }, signal);
        const image = imageOf(resolved);
        handles.keep(image.repoDigest, auth, resolved.handle);
        return image;
      }),

    fetchLayer: ({ reference, repoDigest, auth, namespace = '', layer }, fx) =>
      untilDeadline(clock, fx, `pull ${reference}: layer ${layer.digest}`, async (signal) => {
        fx.note({ on: `layer ${layer.digest} (${layer.sizeBytes} bytes)` });
        // after a restart, or many other pulls, the endpoints are found again: the digest names the same content
        const handle =
          handles.get(repoDigest, auth) ?? (await client.open(parseReference(repoDigest), auth, signal));
        const descriptor = { mediaType: layer.mediaType, digest: layer.digest, size: layer.sizeBytes };
        const party = { host: handle.reference.host, namespace, credential: credentialOf(auth) };
        try {
          const { blobBytes, tarBytes } = await store.ensure(
            {
              party,
              diffId: layer.diffId,
              blobDigest: layer.digest,
              ...(layer.file === undefined ? {} : { file: layer.file }),
            },
            { signal, onBytes: fx.onBytes },
            (sink, downloadSignal) =>
              fetchKept(
                ingests,
                (how) => client.fetchBlob(handle, how),
                { descriptor, signal: downloadSignal, source: party.host, namespace },
                sink,
                counted(sink, options.onDownloaded),
              ),
          );
          // in the store, whoever brought it there; before that a death would have cost what was downloaded
          await ingests.drop({ ...descriptor, source: party.host });
          // a record of an older version: the tar's own bytes, which were counted as well
          return blobBytes ?? tarBytes;
        } catch (error) {
          throw named(error, reference, layer);
        }
      }),

    dropPartials: ({ keep }, fx) =>
      withDeadline(clock, fx, 'delete what is left of downloads', () => ingests.dropAllBut(new Set(keep))),
  };
}

function counted(sink: BlobSink, told: (bytes: number) => void = () => undefined): BlobSink {
  const { restart } = sink;
  return {
    write: (piece) => {
      told(piece.length);
      return sink.write(piece);
    },
    ...(restart === undefined ? {} : { restart: () => restart.call(sink) }),
  };
}

/** The registry's faults name pull and layer already; those of the store get it here. */
function named(error: unknown, reference: string, layer: Layer): FaultError {
  const isNamed = error instanceof FaultError && error.message.startsWith('pull ');
  const why = isNamed ? error.fault : toFault(error, `pull ${reference}: layer ${layer.digest}`);
  if (why.kind !== 'notFound' || !isNondistributable(layer.mediaType)) return new FaultError(why);
  return new FaultError({
    ...why,
    message: `${why.message}; it is a layer that registries need not have (${layer.mediaType}), and other places are not asked`,
  });
}

/** What the rest of troupe knows of an image; throws when layers and diff-ids do not pair up. */
function imageOf(resolved: Resolved): ResolvedImage {
  const { reference, manifest, config, files } = resolved;
  const layers = manifest.layers.map((descriptor, at): Layer => {
    const diffId =
      config.diffIds[at] ??
      fail('outside', `pull ${formatReference(reference)}: layer ${descriptor.digest} has no diff-id`);
    const file = files?.[at];
    return {
      digest: descriptor.digest,
      diffId,
      mediaType: descriptor.mediaType,
      sizeBytes: descriptor.size,
      ...(file === undefined ? {} : { file }),
    };
  });
  // a name with a digest is a name of that content and never gives the tag beside it a new meaning
  const repoTag = reference.digest === undefined ? formatReference(reference) : '';
  return {
    id: resolved.imageId,
    repoTag,
    repoDigest: `${repositoryOf(reference)}@${resolved.manifestDigest}`,
    manifestDigest: resolved.platformManifestDigest,
    layers,
    config: plainConfig(config),
    configBytes: resolved.configBytes.byteLength,
    ...checkpointOf(manifest.annotations),
  };
}

/** By which the peers and their tools tell an image that is a checkpoint: the container's name (checkpointctl, lib/metadata.go; CRI-O). */
const CHECKPOINT_NAMES = [
  'org.criu.checkpoint.container.name',
  'io.kubernetes.cri-o.annotations.checkpoint.name',
];

function checkpointOf(annotations: StringMap): Pick<ImageSource, 'checkpointOf'> {
  const name = CHECKPOINT_NAMES.map((key) => annotations[key]).find((value) => value !== undefined);
  return name === undefined ? {} : { checkpointOf: name };
}

/** Only what the port names: it goes into the journal as it is. */
function plainConfig(config: ImageConfig): ImageConfig {
  const { user, env, entrypoint, cmd, workingDir, stopSignal, volumes, labels, architecture, os } = config;
  return { user, env, entrypoint, cmd, workingDir, stopSignal, volumes, labels, architecture, os };
}

/** Live endpoints with their tokens, by what they are good for; the ones longest unused go first. */
class Handles {
  readonly #handles = new Map<string, PullHandle>();

  keep(repoDigest: string, auth: RegistryAuth | undefined, handle: PullHandle): void {
    const key = keyOf(repoDigest, auth);
    this.#handles.delete(key);
    this.#handles.set(key, handle);
    for (const oldest of this.#handles.keys()) {
      if (this.#handles.size <= storageLimits.handles) break;
      this.#handles.delete(oldest);
    }
  }

  get(repoDigest: string, auth: RegistryAuth | undefined): PullHandle | undefined {
    const key = keyOf(repoDigest, auth);
    const handle = this.#handles.get(key);
    if (handle !== undefined) this.keep(repoDigest, auth, handle);
    return handle;
  }
}

/** One client's tokens never serve another's credentials; only a digest of those is kept. */
function keyOf(repoDigest: string, auth: RegistryAuth | undefined): string {
  return `${repoDigest} ${credentialOf(auth)}`;
}

function credentialOf(auth: RegistryAuth | undefined): string {
  return auth === undefined ? '' : createHash('sha256').update(JSON.stringify(auth)).digest('hex');
}
