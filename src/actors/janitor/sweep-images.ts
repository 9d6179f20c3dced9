/** The janitor's round over images: layers that nobody uses, images that have lost one, what is left of pulls. */
import { fail } from '../../base/fault.ts';
import { actorLimits } from '../bounds.ts';
import { fetchingKey } from '../ledger/ledger.ts';
import { forgetBroken } from '../images/broken.ts';
import type { EffectContext } from '../../ports/effect.ts';
import type { ImageFetching } from '../../ports/journal.ts';
import type { ImageRecord } from '../../ports/specs.ts';
import { overShare } from './over-share.ts';
import type { Shared } from './over-share.ts';
import type { Sweeping } from './sweeping.ts';

/** Layers are looked at even where no record can be written. */
export async function sweepImages(sweeping: Sweeping, fx: EffectContext): Promise<void> {
  const [given] = await Promise.allSettled([giveUpPulls(sweeping)]);
  await deleteLayers(sweeping, fx);
  if (given.status === 'rejected') throw given.reason;
}

/**
 * What an interrupted pull has fetched waits for its client to ask again: so long, and for so many pulls, of which those of
 * the namespace and registry with most are given up first. The time
 * begins anew with the daemon, since it is the restart that a pull is to outlive (F07).
 */
async function giveUpPulls(sweeping: Sweeping): Promise<void> {
  const { directory, layers, interrupted, ports } = sweeping;
  const now = ports.clock.monoMs();
  const pulled = new Set<string>(directory.pulls().map(({ imageId }) => imageId));
  const waiting = new Map(
    layers
      .unfinished()
      .filter(({ id }) => !pulled.has(id))
      .map((one) => [fetchingKey(one), one]),
  );
  for (const key of interrupted.keys()) if (!waiting.has(key)) interrupted.delete(key);
  for (const key of waiting.keys()) if (!interrupted.has(key)) interrupted.set(key, now);
  const isOld = (key: string): boolean => now - (interrupted.get(key) ?? now) >= actorLimits.interruptedMs;
  // a map keeps the order in which they came
  const recent = [...interrupted.keys()]
    .filter((key) => !isOld(key))
    .flatMap((key) => sharedOf(key, waiting.get(key)));
  const tooMany = new Set(overShare(recent, actorLimits.interruptedMax));
  const over = [...interrupted.keys()]
    .filter((key) => isOld(key) || tooMany.has(key))
    .flatMap((key) => waiting.get(key) ?? []);
  if (over.length === 0) return;
  const ends = over.map(({ type: _type, layers: _layers, ...which }) => ({
    type: 'image.givenUp' as const,
    ...which,
  }));
  await ports.journal.append(ends, { sync: true });
  sweeping.layersChanged = true;
}

/** The registry is the first part of the manifest's name; a record of an older version has none. */
function sharedOf(key: string, fetching: ImageFetching | undefined): readonly Shared[] {
  if (fetching === undefined) return [];
  const { source = '', namespace = '' } = fetching;
  return [{ key, namespace, host: source.split('/', 1)[0] ?? '' }];
}

async function deleteLayers(sweeping: Sweeping, fx: EffectContext): Promise<void> {
  if (!sweeping.layersChanged) return;
  sweeping.layersChanged = false;
  fx.note({ on: 'layers that nobody uses, and that images have lost' });
  try {
    // of those that were here before the look: one that comes meanwhile has layers that the look has not seen
    const images = sweeping.layers.images();
    const facts = await sweeping.ports.storage.observe(fx);
    if (facts.imagesUnknown === true)
      fail('timedOut', 'look for layers that nobody uses: the disk of the images does not answer');
    await forgetBroken(sweeping.ports, stillThere(sweeping, images), facts);
    await sweeping.layers.collect(facts.layers, fx);
    const kept = sweeping.layers.unfinished().flatMap((pull) => pull.layers.map(({ digest }) => digest));
    await sweeping.ports.images.dropPartials({ keep: kept }, fx);
  } catch (thrown) {
    // the next round looks again
    sweeping.layersChanged = true;
    throw thrown;
  }
}

/** Of these images those that nobody has removed or pulled again since, nor pulls now: such a pull mends them. */
function stillThere({ layers, directory }: Sweeping, images: readonly ImageRecord[]): readonly ImageRecord[] {
  const now = new Set(layers.images());
  const pulled = new Set(directory.pulls().map(({ imageId }) => imageId));
  return images.filter((image) => now.has(image) && !pulled.has(image.id));
}
