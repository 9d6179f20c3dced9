// Pods start beside pulls: the threads that unpack leave the processor to all others.
import { join } from 'node:path';
import { getPriority } from 'node:os';
import { expect, test } from 'vitest';
import { priorityLimits } from '../../../src/host/bounds.ts';
import { until } from '../../support/eventually.ts';
import { niceOfOtherThreads } from '../../support/nice-values.ts';
import { archive, digestOf, entry } from '../../unit/oci/layers/tar-builder.ts';
import { context, describeAsRoot, openStore, scratch } from '../unpack/support.ts';

describeAsRoot('priority of storage workers', () => {
  const root = scratch('priority');

  test('while a layer is unpacked, the worker has the lowest priority and the main thread keeps its own', async () => {
    const layers = openStore(join(root, 'store'));
    const blob = archive(entry({ name: 'file', body: Buffer.from('content') }));
    const own = getPriority();
    const wanted = {
      diffId: digestOf(blob),
      blobDigest: digestOf(blob),
      party: { host: 'h', namespace: 'n', credential: '' },
    };
    const lowest = (): number =>
      niceOfOtherThreads(process.pid).filter((nice) => nice === priorityLimits.lowestNice).length;
    const before = lowest();
    let isLowered = false;
    await layers.ensure(wanted, { signal: context().signal, onBytes: () => undefined }, async (sink) => {
      await sink.write(blob);
      await until(async () => lowest() === before + 1);
      isLowered = true;
    });
    expect(isLowered).toBe(true);
    expect(getPriority()).toBe(own);
    await layers.settled();
  });
});
