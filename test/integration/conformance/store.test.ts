/**
 * The real layer store, overlayfs and registry client under the suites that the twins keep to
 * (test/sim/conformance.test.ts).
 */
import { join } from 'node:path';
import { afterAll, describe } from 'vitest';
import { imagesConformance } from '../../conformance/images.ts';
import { storageConformance } from '../../conformance/storage.ts';
import { storageDrivers } from '../../support/storage-drivers.ts';
import type { Place } from '../../support/storage-drivers.ts';
import { describeAsRoot, scratch } from '../unpack/support.ts';
import { realStoreStage } from './store-stage.ts';

describeAsRoot('storage and images', () => {
  const root = scratch('store');
  let stages = 0;
  imagesConformance('layer store and registry client', () => realStoreStage(join(root, `${(stages += 1)}`)));
});

describeAsRoot('storage drivers', () => {
  for (const { name, whyNot, make, place } of storageDrivers()) {
    if (whyNot !== '') {
      process.stdout.write(`skipped: storage conformance of ${name}: ${whyNot}\n`);
      continue;
    }
    describe(`on ${name}`, () => {
      let disk: Place | undefined;
      afterAll(() => disk?.remove());
      let stages = 0;
      storageConformance(name, () => {
        disk ??= place(`conformance-${name}`);
        return realStoreStage(join(disk.path, `${(stages += 1)}`), make);
      });
    });
  }
});
