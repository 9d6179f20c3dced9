import { describe, expect, it } from 'vitest';
import { LayerBook } from '../../../../src/actors/ledger/layer-book.ts';
import type { StoragePort } from '../../../../src/ports/storage.ts';
import { emptyLedger, ledgerFold } from '../../../../src/actors/ledger/ledger.ts';
import { turns } from '../../../support/turns.ts';
import { digest, imageId, imageRecord } from '../fixtures.ts';
import { fxOf } from '../../../support/fx.ts';

const fx = fxOf();
const [used, free, third] = [digest('5'), digest('6'), digest('7')];

function bench() {
  const ledger = emptyLedger();
  ledgerFold.apply(ledger, { type: 'image.present', image: imageRecord() });
  const asked: string[] = [];
  let hold: Promise<void> = Promise.resolve();
  const failing = new Set<string>();
  const storage: Pick<StoragePort, 'removeLayer'> = {
    removeLayer: async ({ diffId }) => {
      asked.push(diffId);
      await hold;
      if (failing.has(diffId)) throw new Error(`${diffId} is busy`);
    },
  };
  return {
    ledger,
    asked,
    failing,
    book: new LayerBook(ledger, storage as StoragePort),
    holdRemovals: (): (() => void) => {
      let go: () => void = () => undefined;
      hold = new Promise((resolve) => {
        go = resolve;
      });
      return go;
    },
  };
}

describe('LayerBook', () => {
  it('a layer of a stored image, or with a holder, is not free', () => {
    const { book } = bench();
    expect([book.isFree(used), book.isFree(free)]).toEqual([false, true]);
    book.hold('container/1', [free]);
    book.hold('container/2', [free]);
    book.release('container/1');
    expect(book.isFree(free)).toBe(false);
    book.release('container/2');
    expect(book.isFree(free)).toBe(true);
  });

  it('an owner’s new layers replace its old ones', () => {
    const { book } = bench();
    book.hold('pull/1', [free]);
    book.hold('pull/1', [third]);
    expect([book.isFree(free), book.isFree(third)]).toEqual([true, false]);
  });

  it('F08: removing an image leaves the layers that a container uses, and they go when the container does', async () => {
    const { book, ledger, asked } = bench();
    book.hold('container/1', [used]);
    ledgerFold.apply(ledger, { type: 'image.removed', id: imageId() });
    await book.collect([used, free], fx);
    expect(asked).toEqual([free]);
    book.release('container/1');
    await book.collect([used], fx);
    expect(asked).toEqual([free, used]);
  });

  it('F08: a caller that needs a layer during its deletion waits for the end of that, and then gets the result', async () => {
    const { book, holdRemovals } = bench();
    const go = holdRemovals();
    const collecting = book.collect([free], fx);
    book.hold('pull/1', [free]);
    let settled = false;
    const waiting = book.settled(free).then(() => {
      settled = true;
    });
    await turns();
    expect(settled).toBe(false);
    go();
    await Promise.all([collecting, waiting]);
    expect(settled).toBe(true);
  });

  it('two collections of one layer are one deletion', async () => {
    const { book, asked, holdRemovals } = bench();
    const go = holdRemovals();
    const both = [book.collect([free, free], fx), book.collect([free], fx)];
    go();
    await Promise.all(both);
    expect(asked).toEqual([free]);
  });

  it('tries every layer before it reports a failed one, and retries that one later', async () => {
    const { book, asked, failing } = bench();
    failing.add(free);
    await expect(book.collect([free, third], fx)).rejects.toThrow('is busy');
    expect(asked).toEqual([free, third]);
    await book.settled(free);
    await turns();
    failing.clear();
    await book.collect([free], fx);
    expect(asked).toEqual([free, third, free]);
  });

  it('S86 the record of a pull ends with its last fetcher, and never with another caller', () => {
    const { book } = bench();
    book.fetches('pull/1', 'a');
    book.fetches('pull/2', 'a');
    book.fetches('pull/3', 'b');
    const ends = () => ['pull/0', 'pull/1', 'pull/2', 'pull/3'].map((owner) => book.endsFetching(owner));
    expect(ends()).toEqual([false, false, false, true]);
    book.release('pull/1');
    expect(ends()).toEqual([false, false, true, true]);
  });
});
