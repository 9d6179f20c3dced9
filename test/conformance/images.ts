/** What every ImagesPort does, registry client and layer store as their twin. */
import { beforeEach, expect, it } from 'vitest';
import type { EffectContext } from '../../src/ports/effect.ts';
import type { FaultKind } from '../../src/base/fault.ts';
import { FaultError } from '../../src/base/fault.ts';
import type { Digest } from '../../src/base/ids.ts';
import { kindOf } from './runtime-stage.ts';
import { fetchLayer, fx, layersOf, pulled, resolve } from './store-stage.ts';
import type { Refusal, StoreStage } from './store-stage.ts';
import { describeSuite } from './suite.ts';
import { fxOf } from '../support/fx.ts';
import { EVENT_MS } from '../support/patience.ts';

/** Bound of a call that hangs, ms. */
const SHORT_MS = 500;
const REFUSALS: readonly (readonly [Refusal, FaultKind])[] = [
  ['absent', 'notFound'],
  ['denied', 'denied'],
  ['busy', 'outside'],
  ['corrupt', 'outside'],
];

/** The suite; a stage is an empty store and a registry with two images. */
export const imagesConformance = describeSuite<StoreStage>('images', (of) => {
  let stage: StoreStage;
  beforeEach(() => {
    stage = of();
  });
  const there = async (): Promise<Digest[]> => [...(await stage.storage.observe(fx)).layers].toSorted();
  const aborted = (call: (effect: EffectContext) => Promise<unknown>): Promise<FaultKind | 'none'> => {
    const caller = new AbortController();
    stage.whenHanging(() => caller.abort());
    return kindOf(call(fxOf(EVENT_MS, caller.signal)));
  };

  it('a reference is normalised to the same text each time; an invalid one is invalidRequest', () => {
    const { images } = stage;
    expect(images.candidates('busybox')).toStrictEqual(['docker.io/library/busybox:latest']);
    expect(images.candidates('docker.io/sim/one:1')).toStrictEqual(images.candidates('sim/one:1'));
    const digest = `sha256:${'1'.repeat(64)}`;
    expect(images.candidates(`sim/one:1@${digest}`)).toStrictEqual([`docker.io/sim/one@${digest}`]);
    for (const bad of ['', 'UPPER/case', 'a b']) expect(() => images.candidates(bad)).toThrow(FaultError);
  });

  it('a tag is resolved to id, names and layers, each time the same; its digest is the same image without a tag', async () => {
    const { references } = stage;
    const [one, two] = [await resolve(stage, references.one), await resolve(stage, references.two)];
    expect(await resolve(stage, references.one)).toStrictEqual(one);
    expect(one.repoTag).toBe(stage.images.candidates(references.one)[0]);
    expect(one.repoDigest).toMatch(/@sha256:[0-9a-f]{64}$/u);
    expect([
      one.layers.length,
      two.layers.length,
      layersOf(one)[0],
      layersOf(one)[1] === layersOf(two)[1],
      one.id === two.id,
    ]).toStrictEqual([2, 2, layersOf(two)[0], false, false]);
    expect(one.configBytes).toBeGreaterThan(0);
    expect(await resolve(stage, one.repoDigest)).toStrictEqual({ ...one, repoTag: '' });
    expect(await there()).toStrictEqual([]);
  });

  it('an image that the registry does not have is notFound, also by its digest', async () => {
    const { repoDigest } = await resolve(stage, stage.references.one);
    expect(await kindOf(resolve(stage, stage.references.none))).toBe('notFound');
    expect(await kindOf(resolve(stage, repoDigest.replace(/[0-9a-f]{64}$/u, '9'.repeat(64))))).toBe(
      'notFound',
    );
  });

  it.each(REFUSALS.filter(([how]) => how !== 'absent'))(
    'F61 F63 resolve from a registry that is %s is %s, and succeeds afterwards',
    async (how, kind) => {
      stage.refuse('manifests', how);
      expect(await kindOf(resolve(stage, stage.references.one))).toBe(kind);
      stage.heal();
      expect((await resolve(stage, stage.references.one)).layers).toHaveLength(2);
    },
  );

  it('resolve from a registry that does not answer is timedOut, or cancelled', async () => {
    stage.refuse('manifests', 'silent');
    expect(await kindOf(resolve(stage, stage.references.one, fxOf(SHORT_MS)))).toBe('timedOut');
    expect(await aborted((effect) => resolve(stage, stage.references.one, effect))).toBe('cancelled');
  });

  it('layers are fetched once, whole, with their bytes counted; later the registry is not asked', async () => {
    const image = await resolve(stage, stage.references.one);
    const [low, high] = image.layers;
    if (low === undefined || high === undefined) throw new Error('two layers');
    expect(await fetchLayer(stage, image, low)).toBe(low.sizeBytes);
    expect(await there()).toStrictEqual([low.diffId]);
    await fetchLayer(stage, image, high);
    const asked = stage.downloads();
    await pulled(stage, stage.references.one);
    expect([stage.downloads(), await there()]).toStrictEqual([asked, layersOf(image).toSorted()]);
    await pulled(stage, stage.references.two);
    expect([stage.downloads() - asked, stage.partials()]).toStrictEqual([1, 0]);
  });

  it('two concurrent fetches of one layer share one download', async () => {
    const image = await resolve(stage, stage.references.one);
    const [low] = image.layers;
    if (low === undefined) throw new Error('a layer');
    await Promise.all([fetchLayer(stage, image, low), fetchLayer(stage, image, low)]);
    expect([stage.downloads(), await there()]).toStrictEqual([1, [low.diffId]]);
  });

  it.each(REFUSALS)(
    'F61 F63 a layer from a registry where it is %s is %s and leaves nothing; a later fetch succeeds',
    async (how, kind) => {
      const image = await resolve(stage, stage.references.one);
      const [low] = image.layers;
      if (low === undefined) throw new Error('a layer');
      stage.refuse('layers', how);
      expect(await kindOf(fetchLayer(stage, image, low))).toBe(kind);
      expect([await there(), stage.partials()]).toStrictEqual([[], 0]);
      stage.heal();
      await fetchLayer(stage, image, low);
      expect(await there()).toStrictEqual([low.diffId]);
    },
  );

  it('F07 a layer that does not come is timedOut, or cancelled, and leaves nothing partial; a later fetch succeeds', async () => {
    const image = await resolve(stage, stage.references.one);
    const [low] = image.layers;
    if (low === undefined) throw new Error('a layer');
    stage.refuse('layers', 'silent');
    expect(await kindOf(fetchLayer(stage, image, low, fxOf(SHORT_MS)))).toBe('timedOut');
    expect(await aborted((effect) => fetchLayer(stage, image, low, effect))).toBe('cancelled');
    stage.heal();
    expect(stage.partials()).toBe(0);
    await fetchLayer(stage, image, low);
    expect(await there()).toStrictEqual([low.diffId]);
  });

  it('a new driver continues with an image that another driver resolved', async () => {
    const image = await resolve(stage, stage.references.one);
    const [low, high] = image.layers;
    if (low === undefined || high === undefined) throw new Error('two layers');
    await fetchLayer(stage, image, low);
    await stage.restart();
    expect(await there()).toStrictEqual([low.diffId]);
    await fetchLayer(stage, image, high);
    expect(await there()).toStrictEqual(layersOf(image).toSorted());
  });
});
