// What a pull that came to no end leaves: kept for the client that asks again, given up after a while, or at once.
import { describe, expect, it } from 'vitest';
import { ledgerFold } from '../../../../src/actors/ledger/ledger.ts';
import type { ImageId } from '../../../../src/base/ids.ts';
import { actorLimits } from '../../../../src/actors/bounds.ts';
import { EasyWorld } from '../easy-ports.ts';
import { turns } from '../../../support/turns.ts';
import { digest, imageId, imageRecord, resolvedImage } from '../fixtures.ts';

const [REFERENCE = ''] = imageRecord().repoTags;
const LAYERS = resolvedImage().layers.map((layer) => ({ digest: layer.digest, diffId: layer.diffId }));

/** Without the image; its layers are in the store. */
async function withoutImage(): Promise<EasyWorld> {
  const world = await EasyWorld.serving();
  await world.troupe.removeImage(imageId(), world.call());
  // the rounds after the start and after the removal
  await world.clock.advance(actorLimits.janitorMs);
  world.asked.length = 0;
  return world;
}

const pull = (world: EasyWorld, deadlineMs?: number): Promise<unknown> =>
  world.troupe
    .pullImage({ reference: REFERENCE, auth: undefined, namespace: '' }, world.call(deadlineMs))
    .catch((thrown: unknown) => thrown);

/** A pull that everybody leaves while a layer comes. */
async function interrupted(): Promise<EasyWorld> {
  const world = await withoutImage();
  world.hold('images.fetchLayer');
  const left = pull(world, 10);
  await turns();
  await world.clock.advance(10);
  expect(await left).toBeInstanceOf(Error);
  await world.clock.advance(actorLimits.janitorMs);
  return world;
}

const rounds = async (world: EasyWorld, ms: number): Promise<void> => {
  for (let passed = 0; passed < ms; passed += actorLimits.janitorMs)
    await world.clock.advance(actorLimits.janitorMs);
};

describe('F07 F65 a pull that everybody left', () => {
  it('leaves its layers and bytes to the next pull', async () => {
    const world = await interrupted();
    expect([...world.ledger.fetching.values()]).toEqual([
      { type: 'image.fetching', id: imageId(), source: resolvedImage().repoDigest, layers: LAYERS },
    ]);
    await rounds(world, actorLimits.interruptedMs - 3 * actorLimits.janitorMs);
    expect([world.count('storage.removeLayer'), world.count('journal image.givenUp')]).toEqual([0, 0]);
  });

  it('is ended when nobody pulls again', async () => {
    const world = await interrupted();
    await rounds(world, actorLimits.interruptedMs + 2 * actorLimits.janitorMs);
    expect([
      world.count('journal image.givenUp'),
      world.count('storage.removeLayer'),
      world.ledger.fetching.size,
    ]).toEqual([1, 1, 0]);
    expect(world.count('images.dropPartials')).toBeGreaterThan(0);
  });

  it('has a failed record written by a later round', async () => {
    const world = await interrupted();
    world.fail('journal image.givenUp');
    await rounds(world, actorLimits.interruptedMs + 2 * actorLimits.janitorMs);
    expect([world.ledger.fetching.size, world.count('storage.removeLayer')]).toEqual([1, 0]);
    world.fix('journal image.givenUp');
    await rounds(world, 2 * actorLimits.janitorMs);
    expect([world.ledger.fetching.size, world.count('storage.removeLayer')]).toEqual([0, 1]);
  });

  it('is ended at once as the oldest of too many', async () => {
    const world = await withoutImage();
    const ids = Array.from(
      { length: actorLimits.interruptedMax + 2 },
      (_, at) => `sha256:${String(at).padStart(64, '0')}` as ImageId,
    );
    for (const id of ids) ledgerFold.apply(world.ledger, { type: 'image.fetching', id, layers: LAYERS });
    await world.clock.advance(actorLimits.janitorMs);
    expect([...world.ledger.fetching.values()].map(({ id }) => id)).toEqual(ids.slice(2));
  });
});

describe('S90 interrupted pulls of many', () => {
  const idOf = (at: number): ImageId => `sha256:${String(at).padStart(64, '0')}` as ImageId;
  const leave = (world: EasyWorld, at: number, namespace: string, host: string): void =>
    ledgerFold.apply(world.ledger, {
      type: 'image.fetching',
      id: idOf(at),
      source: `${host}/some/image@${idOf(at)}`,
      namespace,
      layers: LAYERS,
    });
  const left = (world: EasyWorld): readonly (string | undefined)[] =>
    [...world.ledger.fetching.values()].map(({ namespace }) => namespace);

  it('of one namespace take no room from others', async () => {
    const world = await withoutImage();
    leave(world, 0, 'victim', 'good');
    for (let at = 1; at <= 2 * actorLimits.interruptedMax; at += 1) leave(world, at, 'tenant', `evil-${at}`);
    await world.clock.advance(actorLimits.janitorMs);
    expect(left(world)).toHaveLength(actorLimits.interruptedMax);
    expect(left(world)).toContain('victim');
  });

  it('the same image has a record for each namespace, which end separately', async () => {
    const world = await withoutImage();
    leave(world, 0, 'victim', 'good');
    leave(world, 0, 'tenant', 'good');
    ledgerFold.apply(world.ledger, {
      type: 'image.givenUp',
      id: idOf(0),
      source: `good/some/image@${idOf(0)}`,
      namespace: 'tenant',
    });
    expect(left(world)).toEqual(['victim']);
  });

  it('a pull is on record with its namespace', async () => {
    const world = await withoutImage();
    world.hold('images.fetchLayer');
    const pulled = world.troupe
      .pullImage({ reference: REFERENCE, auth: undefined, namespace: 'tenant' }, world.call(10))
      .catch(() => undefined);
    await turns();
    await world.clock.advance(10);
    await pulled;
    expect(left(world)).toEqual(['tenant']);
  });
});

describe('a pull that fails for good, or succeeds', () => {
  it('S60 keeps nothing of wrong content', async () => {
    const world = await withoutImage();
    world.fail('images.fetchLayer');
    await pull(world);
    expect(world.asked.slice(world.asked.indexOf('images.fetchLayer') + 1)).toEqual([
      'journal image.givenUp',
      'storage.removeLayer',
      'images.dropPartials',
    ]);
    expect(world.ledger.fetching.size).toBe(0);
  });

  it('ends the record of an earlier one by its success', async () => {
    const world = await withoutImage();
    ledgerFold.apply(world.ledger, { type: 'image.fetching', id: imageId(), layers: LAYERS });
    expect(await pull(world)).toBe(imageId());
    expect([world.ledger.fetching.size, world.ledger.images.size]).toEqual([0, 1]);
  });

  it('a snapshot of the journal keeps what was begun', () => {
    const records = ledgerFold.records({
      ...ledgerFold.empty(),
      fetching: new Map([[imageId(), { type: 'image.fetching', id: imageId(), layers: LAYERS }]]),
    });
    expect(records).toEqual([{ type: 'image.fetching', id: imageId(), layers: LAYERS }]);
  });
});

describe('F27 an image that loses a layer while troupe runs', () => {
  it('is forgotten within a round, so that the kubelet pulls it again', async () => {
    const world = await EasyWorld.serving();
    world.answers['storage.observe'] = { layers: [], rootfs: [] };
    await world.clock.advance(actorLimits.janitorMs);
    expect([world.count('journal image.removed'), world.troupe.images()]).toEqual([1, []]);
  });

  it('stays when it is pulled again meanwhile', async () => {
    const world = await EasyWorld.serving();
    world.answers['storage.observe'] = { layers: [digest('7')], rootfs: [] };
    const go = world.hold('storage.observe');
    await world.clock.advance(actorLimits.janitorMs);
    ledgerFold.apply(world.ledger, { type: 'image.present', image: imageRecord({ pulledAtNs: 60n }) });
    await go();
    expect(world.count('journal image.removed')).toBe(0);
  });
});
