// An additional image store that is late (an NFS mount after a boot): what it may have is not taken for lost.
import { expect, test } from 'vitest';
import { ledgerFold } from '../../../../src/actors/ledger/ledger.ts';
import { actorLimits } from '../../../../src/actors/bounds.ts';
import { EasyWorld } from '../easy-ports.ts';
import { imageRecord } from '../fixtures.ts';

const STORE = '/srv/images';

test('F45 F89 images with layers in an unread store are kept, with their other layers, until it is read', async () => {
  const image = imageRecord();
  const [first] = image.layers.map((layer) => layer.diffId);
  const own = { ...image, layers: [{ ...image.layers[0], diffId: first }] } as typeof image;
  const world = new EasyWorld();
  const late = `sha256:${'e'.repeat(64)}`;
  ledgerFold.apply(world.ledger, {
    type: 'image.present',
    image: { ...own, layers: [...own.layers, { ...own.layers[0], diffId: late }] } as typeof image,
  });
  world.answers['storage.observe'] = { layers: [first], unreadStores: [STORE], rootfs: [] };
  await world.troupe.start();
  await world.clock.advance(actorLimits.janitorMs);
  // the janitor searches for them again every five minutes
  await world.clock.advance(actorLimits.debrisMs);
  await world.clock.advance(actorLimits.janitorMs);
  expect(world.count('storage.observe')).toBeGreaterThan(2);
  expect([world.count('journal image.removed'), world.count('storage.removeLayer')]).toEqual([0, 0]);
  expect([...world.ledger.images.keys()]).toEqual([image.id]);

  // it is read, and has no such layer
  world.answers['storage.observe'] = { layers: [first], rootfs: [] };
  await world.clock.advance(actorLimits.debrisMs);
  await world.clock.advance(actorLimits.janitorMs);
  expect([world.count('journal image.removed'), world.count('storage.removeLayer')]).toEqual([1, 1]);
  expect([...world.ledger.images.keys()]).toEqual([]);
});
