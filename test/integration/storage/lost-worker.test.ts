// A storage worker ends while it unpacks layers of two tenants.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { storageLimits } from '../../../src/oci/bounds.ts';
import type { Digest } from '../../../src/base/ids.ts';
import type { LayerStore, WantedLayer } from '../../../src/oci/images/store/layer-store.ts';
import { faultOf } from '../../support/fault-of.ts';
import { KILLER } from '../../support/killer-digest.ts';
import { archive, digestOf, entry } from '../../unit/oci/layers/tar-builder.ts';
import { context, describeAsRoot, openStore, scratch } from '../unpack/support.ts';

const BATCH = storageLimits.batchBytes;
const layerOf = (name: string): Buffer => archive(entry({ name, body: Buffer.alloc(3 * BATCH, name) }));

describeAsRoot('S90 a worker that ends with layers of two tenants', () => {
  const root = scratch('lost-worker');
  const store = (): LayerStore =>
    openStore(join(root, 'store'), {
      workerPool: { workers: 1, program: new URL('../../support/killed-unpacker.ts', import.meta.url) },
    });

  test('a layer that crashes workers fails alone', async () => {
    const layers = store();
    const [theirs, ours] = [layerOf('evil'), layerOf('victim')];
    let isBegun: () => void = () => undefined;
    const begun = new Promise<void>((resolve) => {
      isBegun = resolve;
    });
    let isKilled: () => void = () => undefined;
    const killed = new Promise<void>((resolve) => {
      isKilled = resolve;
    });
    const tries = { theirs: 0, ours: 0 };
    const bytes: number[] = [];
    const wanted = (blob: Buffer, blobDigest: Digest, namespace: string): WantedLayer => ({
      diffId: digestOf(blob),
      blobDigest,
      party: { host: namespace, namespace, credential: '' },
    });
    const victim = layers.ensure(
      wanted(ours, digestOf(ours), 'victim'),
      { signal: context().signal, onBytes: (sum) => bytes.push(sum) },
      async (sink) => {
        tries.ours += 1;
        await sink.write(ours.subarray(0, BATCH));
        isBegun();
        await killed;
        await sink.write(ours.subarray(BATCH));
      },
    );
    await begun;
    const killer = layers.ensure(
      wanted(theirs, KILLER, 'tenant'),
      { signal: context().signal, onBytes: () => undefined },
      async (sink) => {
        tries.theirs += 1;
        await sink.write(theirs.subarray(0, BATCH));
        // until the worker is gone: a write after that rejects
        for (;;) await sink.write(theirs.subarray(0, BATCH));
      },
    );
    expect((await faultOf(killer)).message).toContain('storage worker exited with code 7');
    isKilled();
    const record = await victim;
    expect(record.diffId).toBe(digestOf(ours));
    expect(tries).toEqual({ theirs: 2, ours: 2 });
    expect(bytes.at(-1)).toBe(ours.length);
    await layers.settled();
    expect(readdirSync(layers.paths.partial)).toEqual([]);
    expect(await layers.record(digestOf(theirs))).toBeUndefined();
  });
});
