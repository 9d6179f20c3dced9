import { assert } from '../../base/assert.ts';
import { Semaphore } from '../../base/bounded.ts';
import { actorLimits } from '../../base/limits.ts';
import type { Activity } from '../activity.ts';
import { effectLogic } from '../effect-logic.ts';
import type { Owned } from '../effect-logic.ts';
import type { LayerBook } from '../images/layer-book.ts';
import type { EffectContext } from '../ports/effect.ts';
import type { RegistryAuth, ResolvedImage } from '../ports/images.ts';
import type { Ports } from '../ports/ports.ts';
import type { PullProgress } from './progress.ts';

export interface PullEffectInput extends Owned {
  readonly reference: string;
  readonly auth: RegistryAuth | undefined;
  readonly namespace: string;
  readonly resolved: ResolvedImage | undefined;
}

/** The effects of a pull. */
export function pullEffects(ports: Ports, activity: Activity, layers: LayerBook, progress: PullProgress) {
  return {
    resolve: effectLogic<PullEffectInput, ResolvedImage>(activity, 'resolve', actorLimits.resolveMs, (input, fx) =>
      ports.images.resolve({ reference: input.reference, auth: input.auth }, fx),
    ),
    admit: effectLogic<PullEffectInput, void>(activity, 'admit', actorLimits.admitMs, async ({ namespace, auth, resolved }, fx) => {
      assert(resolved !== undefined, 'policy for an image that was not resolved');
      await ports.policy.admit({ namespace, auth, image: resolved }, fx);
    }),
    fetchLayers: effectLogic<PullEffectInput, void>(activity, 'fetchLayers', actorLimits.fetchLayerMs, (input, fx) =>
      fetchLayers({ ports, layers, progress }, input, fx),
    ),
    recordPresent: effectLogic<PullEffectInput, void>(activity, 'recordPresent', actorLimits.journalMs, async (input) => {
      const { resolved } = input;
      assert(resolved !== undefined, 'commit of an image that was not resolved');
      const image = {
        id: resolved.id,
        repoTags: resolved.repoTag === '' ? [] : [resolved.repoTag],
        repoDigests: [resolved.repoDigest],
        layers: resolved.layers,
        config: resolved.config,
        sizeBytes: resolved.sizeBytes,
        pulledAtNs: ports.clock.nowNs(),
      };
      await ports.journal.append([{ type: 'image.present', image }], { sync: true });
      layers.release(input.owner);
    }),
    discard: effectLogic<PullEffectInput, void>(activity, 'discard', actorLimits.removeRootfsMs, async ({ owner, resolved }, fx) => {
      layers.release(owner);
      if (resolved === undefined) return;
      await ports.journal.append([{ type: 'image.givenUp', id: resolved.id }], { sync: true });
      const kept = layers.unfinished().flatMap((pull) => pull.layers.map(({ digest }) => digest));
      const results = await Promise.allSettled([
        layers.collect(resolved.layers.map((layer) => layer.diffId), fx),
        ports.images.dropPartials({ keep: kept }, fx),
      ]);
      for (const result of results) if (result.status === 'rejected') throw result.reason;
    }),
  };
}

/** All layers, a few at once. One that fails ends the others, and its fault names the layer. */
async function fetchLayers(
  { ports, layers, progress }: { readonly ports: Ports; readonly layers: LayerBook; readonly progress: PullProgress },
  input: PullEffectInput,
  fx: EffectContext,
): Promise<void> {
  const { resolved } = input;
  assert(resolved !== undefined, 'layers of an image that was not resolved');
  // held before the first look into the store, so that a removal of another image can't take one away (F08)
  layers.hold(
    input.owner,
    resolved.layers.map((layer) => layer.diffId),
  );
  // from now on a failure or a death costs only what is missing
  const fetching = resolved.layers.map(({ digest, diffId }) => ({ digest, diffId }));
  await ports.journal.append([{ type: 'image.fetching', id: resolved.id, layers: fetching }], { sync: false });
  progress.begin(input.owner, resolved.layers);
  const slots = new Semaphore('layers of one image', actorLimits.layersAtOnce, resolved.layers.length);
  const tell = teller(ports, progress, input, fx);
  const siblings = new AbortController();
  const signal = AbortSignal.any([fx.signal, siblings.signal]);
  // one after the other settled, so that no download outlives the effect
  const results = await Promise.allSettled(
    resolved.layers.map((layer) =>
      slots.with(async () => {
        try {
          await layers.settled(layer.diffId);
          signal.throwIfAborted();
          await ports.images.fetchLayer(
            { reference: input.reference, repoDigest: resolved.repoDigest, auth: input.auth, layer },
            {
              signal,
              timeoutMs: fx.timeoutMs,
              note: fx.note,
              onBytes: (bytes) => {
                progress.downloaded(input.owner, layer.digest, bytes);
                tell();
              },
            },
          );
          progress.present(input.owner, layer.digest);
        } catch (thrown) {
          siblings.abort(thrown);
          throw thrown;
        }
      }),
    ),
  );
  if (results.some((result) => result.status === 'rejected')) {
    throw siblings.signal.reason;
  }
}

/** Says now and then, to the log and to whoever asks what it waits on, how far the pull is. */
function teller(ports: Ports, progress: PullProgress, { owner, reference }: PullEffectInput, fx: EffectContext): () => void {
  let toldAtMs = ports.clock.monoMs();
  return () => {
    const now = ports.clock.monoMs();
    if (now - toldAtMs < actorLimits.pullToldMs) return;
    toldAtMs = now;
    const { downloadedBytes, sizeBytes, bytesPerSecond } = progress.sum(owner);
    fx.note({ on: `layers of ${reference}: ${downloadedBytes} of ${sizeBytes} bytes, ${bytesPerSecond} a second` });
    ports.log.info({ actor: owner, reference, downloadedBytes, sizeBytes, bytesPerSecond }, 'a pull is under way');
  };
}

export type PullEffects = ReturnType<typeof pullEffects>;
