// Stores that are only read, when one of them can't be.
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import type { Digest } from '../../../../../src/base/ids.ts';
import { silentLog } from '../../../../../src/base/log.ts';
import { createStorageDriver } from '../../../../../src/oci/images/store/driver.ts';
import { overlayDriver } from '../../../../../src/oci/images/store/drivers/overlay.ts';
import { encodeLayerRecord } from '../../../../../src/oci/images/store/records/layer-record.ts';
import { LayerStore } from '../../../../../src/oci/images/store/layer-store.ts';
import { OtherStores } from '../../../../../src/oci/images/store/other-stores.ts';
import { realRandom } from '../../../../../src/host/clock/random.ts';
import { containerId } from '../../../actors/fixtures.ts';
import { HandClock } from '../../../../support/hand-clock.ts';
import { fxOf } from '../../../../support/fx.ts';

const [here, missing] = ['a', 'b'].map((digit) => `sha256:${digit.repeat(64)}` as Digest) as [Digest, Digest];

function scratch(): string {
  const directory = mkdtempSync(join(tmpdir(), 'troupe-others-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** A store that has the layer. */
function makeStore(root: string, diffId: Digest): void {
  const layer = join(root, 'layers', diffId.slice('sha256:'.length));
  mkdirSync(join(layer, 'diff'), { recursive: true });
  const counts = { tarBytes: 1, entries: 1, usedBytes: 1, inodes: 1, xattrsDropped: 0 };
  const record = { version: 1, diffId, blobDigest: diffId, rootOpaque: false, ...counts } as const;
  writeFileSync(join(layer, 'layer.json'), encodeLayerRecord(record));
}

test('F45 F89 the list names unreadable stores, and those that are empty since they are not mounted', async () => {
  const directory = scratch();
  const [good, late, empty] = ['good', 'late', 'empty'].map((name) => join(directory, name)) as [
    string,
    string,
    string,
  ];
  makeStore(good, here);
  makeStore(late, missing);
  mkdirSync(empty);
  let isThere = false;
  const others = new OtherStores([good, late, empty], {
    clock: new HandClock(),
    log: silentLog,
    isUsable: (root) => root !== late || isThere,
  });
  expect(others.unread).toEqual([late]);
  expect(await others.list()).toEqual({ layers: [here], unread: [late, empty] });
  expect(others.unread).toEqual([late, empty]);
  isThere = true;
  mkdirSync(join(empty, 'layers'));
  expect(await others.list()).toEqual({ layers: [here, missing], unread: [] });
  expect(others.unread).toEqual([]);
});

test('F45 F89 a root file system with a missing layer is refused with the unreadable store, as retryable', async () => {
  const directory = scratch();
  const [root, other] = [join(directory, 'root'), join(directory, 'other')];
  makeStore(other, here);
  const clock = new HandClock();
  const store = new LayerStore({
    root,
    additionalRoots: [other],
    clock,
    random: realRandom(),
    log: silentLog,
    driver: (host) => ({
      ...overlayDriver(host, { metacopy: false, isVolatile: () => true }),
      takeOver: () => Promise.resolve(),
    }),
  });
  onTestFinished(() => store.close());
  const storage = createStorageDriver({ store, clock });
  const fx = fxOf();
  const mount = (diffId: Digest): Promise<unknown> =>
    storage.mountRootfs({ id: containerId('c'), layers: [diffId] }, fx);
  await expect(mount(missing)).rejects.toMatchObject({ fault: { kind: 'notFound' } });
  renameSync(join(other, 'layers'), join(other, 'gone'));
  expect((await storage.observe(fx)).unreadStores).toEqual([other]);
  await expect(mount(here)).rejects.toMatchObject({
    fault: {
      kind: 'notReady',
      retryable: true,
      message: expect.stringContaining(
        `layer ${here} not found: image store ${other} cannot be read`,
      ) as string,
    },
  });
  renameSync(join(other, 'gone'), join(other, 'layers'));
  expect(await storage.observe(fx)).not.toHaveProperty('unreadStores');
});
