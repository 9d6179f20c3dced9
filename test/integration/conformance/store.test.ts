/** The real layer store, overlayfs and registry client under the suites that the twins keep to (test/sim/conformance.test.ts). */
import { join } from 'node:path';
import { imagesConformance } from '../../conformance/images.ts';
import { storageConformance } from '../../conformance/storage.ts';
import { describeAsRoot, scratch } from '../unpack/support.ts';
import { realStoreStage } from './store-stage.ts';

describeAsRoot('storage and images', () => {
  const root = scratch('store');
  let stages = 0;
  const make = () => realStoreStage(join(root, `${(stages += 1)}`));
  storageConformance('overlayfs', make);
  imagesConformance('layer store and registry client', make);
});
