/** Implements ImagesPort with the registry client and the layer store. */
import { createHash } from 'node:crypto';
import type { ClockPort } from '../../ports/clock.ts';
import type { DepositedAuth, ImagesPort, PullAuth, ResolvedImage } from '../../ports/images.ts';
import type { ImageConfig, ImageSource, Layer, StringMap } from '../../ports/specs.ts';
import { FaultError, fail, toFault } from '../../base/fault.ts';
import { storageLimits } from '../bounds.ts';
import type { BlobSink } from './registry/blob.ts';
import type { PullHandle, PullPlaces, RegistryClient, Resolved } from './registry/client.ts';
import type { Ingests } from './registry/ingest.ts';
import { fetchKept } from './registry/kept-blob.ts';
import type { LayerStore } from './store/layer-store.ts';
import { withDeadline, untilDeadline } from '../../host/clock/deadline.ts';
import { isNondistributable } from './model/manifest.ts';
import type { Platform } from './model/platform.ts';
import { formatReference, parseReference, repositoryOf } from './model/reference.ts';

export interface ImagesDriverOptions {
  readonly client: RegistryClient;
  readonly store: LayerStore;
  /** Stores the received part of unfinished downloads. */
  readonly ingests: Ingests;
  readonly clock: ClockPort;
  readonly platform: Platform;
  /** Takes the credentials that were stored for one pull in a namespace; omitted if that is not configured. */
  readonly takeCredentials?: (
    places: PullPlaces,
    namespace: string,
    signal: AbortSignal,
  ) => Promise<readonly DepositedAuth[]>;
  /** Called with the bytes of each downloaded piece of a layer. */
  readonly onDownloaded?: (bytes: number) => void;
}

/** Creates the driver; one per store. */
export function createImagesDriver(options: ImagesDriverOptions): ImagesPort {
  const { client, store, ingests, clock, takeCredentials = async () => [] } = options;
  const handles = new Handles();
  return {
    naming: () => client.naming,
    candidates: (reference) => client.candidates(reference).map(formatReference),

    takeCredentials: ({ reference, namespace }, fx) =>
      untilDeadline(clock, fx, `pull ${reference}: credentials of namespace ${namespace}`, (signal) =>
        takeCredentials(client.places(reference), namespace, signal),
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
        // after a restart or many other pulls, open the endpoints again; the digest guarantees the same content
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
          // drop the ingest file only now: until the layer is stored, a crash would lose the download
          await ingests.drop({ ...descriptor, source: party.host });
          // records of older versions have no blobBytes: return the bytes of the tar
          return blobBytes ?? tarBytes;
        } catch (error) {
          throw named(error, reference, layer);
        }
      }),

    dropPartials: ({ keep }, fx) =>
      withDeadline(clock, fx, 'delete partial downloads', () => ingests.dropAllBut(new Set(keep))),
  };
}

function counted(sink: BlobSink, onBytes: (bytes: number) => void = () => undefined): BlobSink {
  const { restart } = sink;
  return {
    write: (piece) => {
      onBytes(piece.length);
      return sink.write(piece);
    },
    ...(restart === undefined ? {} : { restart: () => restart.call(sink) }),
  };
}

/** Adds pull and layer to faults of the store; faults of the registry have them already. */
function named(error: unknown, reference: string, layer: Layer): FaultError {
  const isNamed = error instanceof FaultError && error.message.startsWith('pull ');
  const why = isNamed ? error.fault : toFault(error, `pull ${reference}: layer ${layer.digest}`);
  if (why.kind !== 'notFound' || !isNondistributable(layer.mediaType)) return new FaultError(why);
  return new FaultError({
    ...why,
    message: `${why.message}; the layer is nondistributable (${layer.mediaType}), and other URLs are not used`,
  });
}

/** Converts the result of a resolve for the port. Throws if a layer has no diff-id. */
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
  // a reference with a digest does not set a tag: the tag beside it may mean another image
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

/**
 * Annotations with a container's name, by which the peers recognise a checkpoint image (checkpointctl, lib/metadata.go;
 * CRI-O).
 */
const CHECKPOINT_NAMES = [
  'org.criu.checkpoint.container.name',
  'io.kubernetes.cri-o.annotations.checkpoint.name',
];

function checkpointOf(annotations: StringMap): Pick<ImageSource, 'checkpointOf'> {
  const name = CHECKPOINT_NAMES.map((key) => annotations[key]).find((value) => value !== undefined);
  return name === undefined ? {} : { checkpointOf: name };
}

/** Copies only the port's fields, since the config is written to the journal. */
function plainConfig(config: ImageConfig): ImageConfig {
  const { user, env, entrypoint, cmd, workingDir, stopSignal, volumes, labels, architecture, os } = config;
  return { user, env, entrypoint, cmd, workingDir, stopSignal, volumes, labels, architecture, os };
}

/**
 * Cache of open endpoints with their tokens, by repository digest and credentials; the least recently used is dropped
 * first.
 */
class Handles {
  readonly #handles = new Map<string, PullHandle>();

  keep(repoDigest: string, auth: PullAuth | undefined, handle: PullHandle): void {
    const key = keyOf(repoDigest, auth);
    this.#handles.delete(key);
    this.#handles.set(key, handle);
    for (const oldest of this.#handles.keys()) {
      if (this.#handles.size <= storageLimits.handles) break;
      this.#handles.delete(oldest);
    }
  }

  get(repoDigest: string, auth: PullAuth | undefined): PullHandle | undefined {
    const key = keyOf(repoDigest, auth);
    const handle = this.#handles.get(key);
    if (handle !== undefined) this.keep(repoDigest, auth, handle);
    return handle;
  }
}

/**
 * The cache key. It contains a digest of the credentials, so that a token is only used with the credentials that got
 * it.
 */
function keyOf(repoDigest: string, auth: PullAuth | undefined): string {
  return `${repoDigest} ${credentialOf(auth)}`;
}

function credentialOf(auth: PullAuth | undefined): string {
  return auth === undefined ? '' : createHash('sha256').update(JSON.stringify(auth)).digest('hex');
}
