/**
 * The janitor's round over images: deletes unused layers, drops images that lost a layer, gives up interrupted pulls.
 */
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

/**
 * One round over images. Unused layers are deleted even if the journal refuses the records of the pulls that are given
 * up.
 * @throws the first failure, after both parts have ended
 */
export async function sweepImages(sweeping: Sweeping, fx: EffectContext): Promise<void> {
  const [given] = await Promise.allSettled([giveUpPulls(sweeping)]);
  await deleteLayers(sweeping, fx);
  if (given.status === 'rejected') throw given.reason;
}

/**
 * Gives up interrupted pulls. What they fetched is kept for a client that pulls again: for `interruptedMs`, and of at
 * most `interruptedMax` pulls. Above that, the namespace and registry with most pulls lose theirs first. The time
 * starts again with each boot, because an interrupted pull must survive a restart of the daemon (F07).
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
  // a Map keeps insertion order: the oldest comes first
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

/** The registry is the first part of the manifest's name; records of older versions lack it. */
function sharedOf(key: string, fetching: ImageFetching | undefined): readonly Shared[] {
  if (fetching === undefined) return [];
  const { source = '', namespace = '' } = fetching;
  return [{ key, namespace, host: source.split('/', 1)[0] ?? '' }];
}

async function deleteLayers(sweeping: Sweeping, fx: EffectContext): Promise<void> {
  if (!sweeping.layersChanged) return;
  sweeping.layersChanged = false;
  fx.note({ on: 'scan for unused and missing layers' });
  try {
    // listed before the scan: an image that is pulled during it has layers that the scan did not see
    const images = sweeping.layers.images();
    const facts = await sweeping.ports.storage.observe(fx);
    // a sweep that was given up may get its answer when another daemon has the node
    fx.signal.throwIfAborted();
    if (facts.imagesUnknown === true)
      fail('timedOut', 'scan for unused layers: the image disk does not respond');
    await forgetBroken(sweeping.ports, unchanged(sweeping, images), facts);
    fx.signal.throwIfAborted();
    await sweeping.layers.collect(facts.layers, fx);
    fx.signal.throwIfAborted();
    const kept = sweeping.layers.unfinished().flatMap((pull) => pull.layers.map(({ digest }) => digest));
    await sweeping.ports.images.dropPartials({ keep: kept }, fx);
  } catch (thrown) {
    // the next round scans again
    sweeping.layersChanged = true;
    throw thrown;
  }
}

/**
 * Those of the images that have not been removed or pulled again since and are not being pulled: a pull repairs them.
 */
function unchanged({ layers, directory }: Sweeping, images: readonly ImageRecord[]): readonly ImageRecord[] {
  const now = new Set(layers.images());
  const pulled = new Set(directory.pulls().map(({ imageId }) => imageId));
  return images.filter((image) => now.has(image) && !pulled.has(image.id));
}
