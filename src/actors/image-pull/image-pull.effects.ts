import { assert } from '../../base/assert.ts';
import { Semaphore } from '../../base/bounded.ts';
import { actorLimits } from '../bounds.ts';
import type { Activity } from '../effects/activity.ts';
import { effectLogic } from '../effects/effect-logic.ts';
import type { Owned } from '../effects/effect-logic.ts';
import type { LayerBook } from '../ledger/layer-book.ts';
import type { EffectContext } from '../../ports/effect.ts';
import type { PullAuth, ResolvedImage } from '../../ports/images.ts';
import type { ImageFetching } from '../../ports/journal.ts';
import type { Ports } from '../../ports/ports.ts';
import type { ImageRecord } from '../../ports/specs.ts';
import { fetchingKey } from '../ledger/ledger.ts';
import type { PullProgress } from './progress.ts';

export interface PullEffectInput extends Owned {
  readonly reference: string;
  readonly auth: PullAuth | undefined;
  readonly namespace: string;
  readonly resolved: ResolvedImage | undefined;
  readonly layerBytes: number;
}

/** The effects of a pull. */
export function pullEffects(ports: Ports, activity: Activity, layers: LayerBook, progress: PullProgress) {
  return {
    resolve: effectLogic<PullEffectInput, ResolvedImage>(
      activity,
      'resolve',
      actorLimits.resolveMs,
      (input, fx) => ports.images.resolve({ reference: input.reference, auth: input.auth }, fx),
    ),
    admit: effectLogic<PullEffectInput, void>(
      activity,
      'admit',
      actorLimits.admitMs,
      async ({ namespace, auth, resolved }, fx) => {
        assert(resolved !== undefined, 'policy for an image that was not resolved');
        await ports.policy.admit({ namespace, auth, image: resolved }, fx);
      },
    ),
    fetchLayers: effectLogic<PullEffectInput, number>(
      activity,
      'fetchLayers',
      actorLimits.fetchLayerMs,
      (input, fx) => fetchLayers({ ports, layers, progress }, input, fx),
    ),
    recordPresent: effectLogic<PullEffectInput, void>(
      activity,
      'recordPresent',
      actorLimits.journalMs,
      async (input) => {
        const { resolved, layerBytes } = input;
        assert(resolved !== undefined, 'commit of an image that was not resolved');
        const image = recordOf(resolved, layerBytes, ports.clock.nowNs());
        await ports.journal.append([{ type: 'image.present', image }], { sync: true });
        layers.release(input.owner);
      },
    ),
    discard: effectLogic<PullEffectInput, void>(
      activity,
      'discard',
      actorLimits.removeRootfsMs,
      async ({ owner, namespace, resolved }, fx) => {
        const isItsEnd = layers.endsFetching(owner);
        layers.release(owner);
        if (resolved === undefined) return;
        if (isItsEnd)
          await ports.journal.append([{ type: 'image.givenUp', ...fetchedBy(namespace, resolved) }], {
            sync: true,
          });
        fx.signal.throwIfAborted();
        const kept = layers.unfinished().flatMap((pull) => pull.layers.map(({ digest }) => digest));
        const results = await Promise.allSettled([
          layers.collect(
            resolved.layers.map((layer) => layer.diffId),
            fx,
          ),
          ports.images.dropPartials({ keep: kept }, fx),
        ]);
        for (const result of results) if (result.status === 'rejected') throw result.reason;
      },
    ),
  };
}

/**
 * The record of the image. Of the manifest's annotations it keeps only the one that marks a checkpoint, with the names
 * it was pulled by (S86).
 */
function recordOf(resolved: ResolvedImage, layerBytes: number, pulledAtNs: bigint): ImageRecord {
  const { id, repoTag, repoDigest, layers, config, configBytes, checkpointOf } = resolved;
  const repoTags = repoTag === '' ? [] : [repoTag];
  return {
    id,
    repoTags,
    repoDigests: [repoDigest],
    layers: layers.map(({ diffId, file }) => ({ diffId, ...(file === undefined ? {} : { file }) })),
    config,
    sizeBytes: configBytes + layerBytes,
    pulledAtNs,
    sources: [{ repoDigest, repoTags, ...(checkpointOf === undefined ? {} : { checkpointOf }) }],
  };
}

/** The fields that identify the record of an unfinished pull. */
function fetchedBy(
  namespace: string,
  { id, repoDigest }: ResolvedImage,
): Pick<ImageFetching, 'id' | 'source' | 'namespace'> {
  return { id, source: repoDigest, ...(namespace === '' ? {} : { namespace }) };
}

/**
 * Fetches all layers, `layersAtOnce` at a time.
 * @returns the compressed bytes of all layers, as received
 * @throws the fault of the first layer that fails; it aborts the others
 */
async function fetchLayers(
  {
    ports,
    layers,
    progress,
  }: { readonly ports: Ports; readonly layers: LayerBook; readonly progress: PullProgress },
  input: PullEffectInput,
  fx: EffectContext,
): Promise<number> {
  const { resolved } = input;
  assert(resolved !== undefined, 'layers of an image that was not resolved');
  // held before the store is read, so that the removal of another image can't delete a shared layer (F08)
  layers.hold(
    input.owner,
    resolved.layers.map((layer) => layer.diffId),
  );
  // once recorded, a failure or a crash does not lose the layers that were fetched
  const fetching = resolved.layers.map(({ digest, diffId }) => ({ digest, diffId }));
  const source = fetchedBy(input.namespace, resolved);
  layers.fetches(input.owner, fetchingKey(source));
  await ports.journal.append([{ type: 'image.fetching', ...source, layers: fetching }], { sync: false });
  progress.begin(input.owner, resolved.layers);
  const slots = new Semaphore('layers of one image', actorLimits.layersAtOnce, resolved.layers.length);
  const report = progressReporter(ports, progress, input, fx);
  const siblings = new AbortController();
  const signal = AbortSignal.any([fx.signal, siblings.signal]);
  // wait for every download, so that none outlives the effect
  const results = await Promise.allSettled(
    resolved.layers.map((layer) =>
      slots.with(async () => {
        try {
          await layers.settled(layer.diffId);
          signal.throwIfAborted();
          const bytes = await ports.images.fetchLayer(
            {
              reference: input.reference,
              repoDigest: resolved.repoDigest,
              auth: input.auth,
              namespace: input.namespace,
              layer,
            },
            {
              signal,
              timeoutMs: fx.timeoutMs,
              note: fx.note,
              onBytes: (downloaded) => {
                progress.downloaded(input.owner, layer.digest, downloaded);
                report();
              },
            },
          );
          progress.present(input.owner, layer.digest);
          return bytes;
        } catch (thrown) {
          siblings.abort(thrown);
          throw thrown;
        }
      }),
    ),
  );
  let sum = 0;
  for (const result of results) {
    if (result.status === 'rejected') throw siblings.signal.reason;
    sum += result.value;
  }
  return sum;
}

/** Reports the pull's progress in the log and in `fx.note`, at most once in `pullReportMs`. */
function progressReporter(
  ports: Ports,
  progress: PullProgress,
  { owner, reference }: PullEffectInput,
  fx: EffectContext,
): () => void {
  let reportedAtMs = ports.clock.monoMs();
  return () => {
    const now = ports.clock.monoMs();
    if (now - reportedAtMs < actorLimits.pullReportMs) return;
    reportedAtMs = now;
    const { downloadedBytes, sizeBytes, bytesPerSecond } = progress.sum(owner);
    fx.note({
      on: `layers of ${reference}: ${downloadedBytes} of ${sizeBytes} bytes, ${bytesPerSecond} per second`,
    });
    ports.log.info(
      { actor: owner, reference, downloadedBytes, sizeBytes, bytesPerSecond },
      'pull in progress',
    );
  };
}

export type PullEffects = ReturnType<typeof pullEffects>;
