/** Images of stores that are only read: those whose layers are all here are listed as if they had been pulled. */
import { withoutTags } from '../actors/images/sources.ts';
import type { Ports } from '../actors/ports/ports.ts';
import type { ImageRecord } from '../actors/ports/specs.ts';
import { toFault } from '../base/fault.ts';
import { storageLimits } from '../base/limits.ts';
import { within } from '../oci/storage/within.ts';
import { readRecords } from './cli/records.ts';
import type { Config } from './config-schema.ts';

/**
 * Takes them into our own journal, before the recovery. A name that one of ours has stays with ours. One that was removed
 * here comes back with the next start, since its files can't be removed. A store that can't be read is told and left out.
 */
export async function adoptImages(
  { root, storage }: Pick<Config, 'root' | 'storage'>,
  ports: Pick<Ports, 'clock' | 'journal' | 'log' | 'storage'>,
  isUsable: (root: string) => boolean,
): Promise<void> {
  const stores = storage.additional_stores.filter(isUsable);
  if (stores.length === 0) return;
  const bound = { signal: new AbortController().signal, timeoutMs: storageLimits.otherStoreMs };
  const own = [...(await readRecords(root)).ledger.images.values()];
  const ids = new Set(own.map(({ id }) => id));
  const names = new Set(own.flatMap(({ repoTags }) => repoTags));
  const { layers } = await ports.storage.observe({
    signal: bound.signal,
    timeoutMs: 2 * storageLimits.otherStoreMs,
    note: () => undefined,
  });
  const here = new Set(layers);
  const found: ImageRecord[] = [];
  for (const store of stores) {
    try {
      const { ledger } = await within(ports.clock, bound, `read the images of ${store}`, () =>
        readRecords(store, storageLimits.otherJournalBytes),
      );
      for (const image of ledger.images.values()) {
        if (ids.has(image.id) || !image.layers.every(({ diffId }) => here.has(diffId))) continue;
        found.push(withoutTags(image, names));
        ids.add(image.id);
        for (const tag of image.repoTags) names.add(tag);
      }
    } catch (thrown) {
      ports.log.warn(
        { store, fault: toFault(thrown) },
        'the images of an additional store can not be read; they are not listed',
      );
    }
  }
  if (found.length > 0)
    await ports.journal.append(
      found.map((image) => ({ type: 'image.present' as const, image })),
      { sync: true },
    );
}
