/**
 * Images of additional stores, which are only read: those with all layers present are listed as if they had been
 * pulled.
 */
import { withoutTags } from '../../actors/ledger/sources.ts';
import type { Ports } from '../../ports/ports.ts';
import type { ImageRecord } from '../../ports/specs.ts';
import { toFault } from '../../base/fault.ts';
import { storageLimits } from '../../oci/bounds.ts';
import { withDeadline } from '../../host/clock/deadline.ts';
import { readRecords } from './journal-records.ts';

/**
 * Records them in our own journal, before the recovery or when a store can be read later. A name of one of our images
 * stays with it. An image that is removed is back after the next start, since its files can't be removed. A store that
 * can't be read is logged and left out.
 */
export async function adoptImages(
  stores: readonly string[],
  ports: Pick<Ports, 'clock' | 'journal' | 'log' | 'storage'>,
  ownImages: () => readonly ImageRecord[],
): Promise<void> {
  if (stores.length === 0) return;
  const bound = { signal: new AbortController().signal, timeoutMs: storageLimits.otherStoreMs };
  const { layers } = await ports.storage.observe({
    signal: bound.signal,
    timeoutMs: 2 * storageLimits.otherStoreMs,
    note: () => undefined,
  });
  const here = new Set(layers);
  const theirs: ImageRecord[] = [];
  for (const store of stores) {
    try {
      const { ledger } = await withDeadline(ports.clock, bound, `read the images of ${store}`, () =>
        readRecords(store, storageLimits.otherJournalBytes),
      );
      for (const image of ledger.images.values())
        if (image.layers.every(({ diffId }) => here.has(diffId))) theirs.push(image);
    } catch (thrown) {
      ports.log.warn(
        { store, fault: toFault(thrown) },
        'read images of an additional store: failed, they are not listed',
      );
    }
  }
  // after all waits: a pull may have ended meanwhile
  const found = unknownOf(theirs, ownImages());
  if (found.length > 0)
    await ports.journal.append(
      found.map((image) => ({ type: 'image.present' as const, image })),
      { sync: true },
    );
}

/** The images that we do not have, each without names that belong to ours or to an earlier one in the list. */
function unknownOf(images: readonly ImageRecord[], own: readonly ImageRecord[]): readonly ImageRecord[] {
  const ids = new Set(own.map(({ id }) => id));
  const names = new Set(own.flatMap(({ repoTags }) => repoTags));
  const found: ImageRecord[] = [];
  for (const image of images) {
    if (ids.has(image.id)) continue;
    found.push(withoutTags(image, names));
    ids.add(image.id);
    for (const tag of image.repoTags) names.add(tag);
  }
  return found;
}
