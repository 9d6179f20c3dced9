/** What every StoragePort does, overlayfs and the layer store as their twin. */
import { beforeEach, expect, it } from 'vitest';
import type { RootfsInput } from '../../src/ports/storage.ts';
import type { ContainerId } from '../../src/base/ids.ts';
import { kindOf } from './runtime-stage.ts';
import { fx, layersOf, pulled } from './store-stage.ts';
import type { StoreStage } from './store-stage.ts';
import { describeSuite } from './suite.ts';
import { fxOf } from '../support/fx.ts';
import { EVENT_MS } from '../support/patience.ts';

/** The suite; a stage is an empty store and a registry with two images. */
export const storageConformance = describeSuite<StoreStage>('storage', (of) => {
  let stage: StoreStage;
  let input: RootfsInput;
  beforeEach(async () => {
    stage = of();
    const image = await pulled(stage, stage.references.one);
    input = { id: stage.container(1), layers: layersOf(image) };
  });
  const rootfs = async () => (await stage.storage.observe(fx)).rootfs;
  const mounted = (id: ContainerId, isMounted: boolean) => [{ id, mounted: isMounted }];

  it('mounting, unmounting and removing a root file system twice each succeeds', async () => {
    const { storage } = stage;
    for (let n = 0; n < 2; n += 1) await storage.mountRootfs(input, fx);
    expect(await rootfs()).toStrictEqual(mounted(input.id, true));
    for (let n = 0; n < 2; n += 1) await storage.unmountRootfs(input, fx);
    expect(await rootfs()).toStrictEqual(mounted(input.id, false));
    for (let n = 0; n < 2; n += 1) await storage.removeRootfs(input, fx);
    expect(await rootfs()).toStrictEqual([]);
  });

  it('unmount and remove of an unknown container succeed', async () => {
    await stage.storage.unmountRootfs(input, fx);
    await stage.storage.removeRootfs(input, fx);
    expect(await rootfs()).toStrictEqual([]);
  });

  it('what a container wrote outlives unmount and mount, and goes with remove, which unmounts by itself', async () => {
    const { storage } = stage;
    await storage.mountRootfs(input, fx);
    stage.write(input.id);
    await storage.mountRootfs(input, fx);
    expect(stage.written(input.id)).toBe(1);
    await storage.unmountRootfs(input, fx);
    await storage.mountRootfs(input, fx);
    expect(stage.written(input.id)).toBe(1);
    await storage.removeRootfs(input, fx);
    expect(await rootfs()).toStrictEqual([]);
    await storage.mountRootfs(input, fx);
    expect(stage.written(input.id)).toBe(0);
  });

  it('containers of one image do not see each other’s files; removing one does not touch the other', async () => {
    const { storage } = stage;
    const other = { ...input, id: stage.container(2) };
    for (const one of [input, other]) await storage.mountRootfs(one, fx);
    stage.write(input.id);
    expect([stage.written(input.id), stage.written(other.id)]).toStrictEqual([1, 0]);
    await storage.removeRootfs(input, fx);
    expect(await rootfs()).toStrictEqual(mounted(other.id, true));
  });

  it('no layers, and the same layer twice, also make a root file system', async () => {
    const [low] = input.layers;
    if (low === undefined) throw new Error('a layer');
    for (const layers of [[], [low, ...input.layers, low]]) {
      await stage.storage.mountRootfs({ id: input.id, layers }, fx);
      expect(await rootfs()).toStrictEqual(mounted(input.id, true));
      await stage.storage.removeRootfs(input, fx);
    }
  });

  it('F08 F27 a missing layer is notFound with its name as the subject, and leaves nothing', async () => {
    const [low, high] = input.layers;
    if (low === undefined || high === undefined) throw new Error('two layers');
    await stage.storage.removeLayer({ diffId: low }, fx);
    await expect(stage.storage.mountRootfs(input, fx)).rejects.toMatchObject({
      fault: { kind: 'notFound', subject: low },
    });
    expect(await stage.storage.observe(fx)).toStrictEqual({ layers: [high], rootfs: [] });
  });

  it('F08 a mounted root file system stays mounted, and can be mounted again, after its layers are deleted', async () => {
    const { storage } = stage;
    await storage.mountRootfs(input, fx);
    for (const diffId of input.layers) await storage.removeLayer({ diffId }, fx);
    await storage.mountRootfs(input, fx);
    expect(await storage.observe(fx)).toStrictEqual({ layers: [], rootfs: mounted(input.id, true) });
    await storage.removeRootfs(input, fx);
  });

  it('F27 F28 a damaged layer is not observed; a pull repairs it', async () => {
    const [low, high] = input.layers;
    if (low === undefined || high === undefined) throw new Error('two layers');
    stage.breakLayer(high);
    expect((await stage.storage.observe(fx)).layers).toStrictEqual([low]);
    expect(await kindOf(stage.storage.mountRootfs(input, fx))).toBe('notFound');
    await pulled(stage, stage.references.one);
    await stage.storage.mountRootfs(input, fx);
    expect(await rootfs()).toStrictEqual(mounted(input.id, true));
  });

  it('I15 removing a layer twice succeeds, and another image keeps its own', async () => {
    const two = await pulled(stage, stage.references.two);
    const [, high] = input.layers;
    if (high === undefined) throw new Error('two layers');
    for (let n = 0; n < 2; n += 1) await stage.storage.removeLayer({ diffId: high }, fx);
    expect((await stage.storage.observe(fx)).layers.toSorted()).toStrictEqual(layersOf(two).toSorted());
  });

  it('I15 removing what interrupted pulls left succeeds twice; whole layers stay', async () => {
    stage.leaveHalfPull();
    expect(stage.partials()).toBeGreaterThan(0);
    await stage.restart();
    for (let n = 0; n < 2; n += 1) await stage.storage.removePartials(fx);
    await stage.swept();
    expect([stage.partials(), (await stage.storage.observe(fx)).layers.toSorted()]).toStrictEqual([
      0,
      input.layers.toSorted(),
    ]);
  });

  it('a root file system in use by a process is unmounted and removed', async () => {
    const { storage } = stage;
    for (const [end, left] of [
      ['unmountRootfs', mounted(input.id, false)],
      ['removeRootfs', []],
    ] as const) {
      await storage.mountRootfs(input, fx);
      const ended = stage.use(input.id);
      await storage[end](input, fx);
      expect(await rootfs()).toStrictEqual(left);
      ended();
    }
  });

  it('a new driver observes existing root file systems and goes on with them', async () => {
    await stage.storage.mountRootfs(input, fx);
    stage.write(input.id);
    await stage.restart();
    const { storage } = stage;
    expect([(await storage.observe(fx)).layers.toSorted(), await rootfs()]).toStrictEqual([
      input.layers.toSorted(),
      mounted(input.id, true),
    ]);
    await storage.mountRootfs(input, fx);
    expect(stage.written(input.id)).toBe(1);
    await storage.removeRootfs(input, fx);
    expect(await rootfs()).toStrictEqual([]);
  });

  it('a call aborted before it begins is cancelled, and succeeds when repeated', async () => {
    const { storage } = stage;
    const gone = fxOf(EVENT_MS, AbortSignal.abort());
    for (const call of [storage.mountRootfs, storage.unmountRootfs, storage.removeRootfs]) {
      expect(await kindOf(call(input, gone))).toBe('cancelled');
      await call(input, fx);
    }
    const [diffId] = input.layers;
    if (diffId === undefined) throw new Error('a layer');
    expect(await kindOf(storage.removeLayer({ diffId }, gone))).toBe('cancelled');
    expect(await kindOf(storage.removePartials(gone))).toBe('cancelled');
    expect(await kindOf(storage.observe(gone))).toBe('cancelled');
    expect(await kindOf(storage.usage(gone))).toBe('cancelled');
    await storage.removeLayer({ diffId }, fx);
    expect((await storage.observe(fx)).layers).not.toContain(diffId);
  });

  it('usage counts layers and what containers wrote, until they are removed', async () => {
    const { storage } = stage;
    const full = await storage.usage(fx);
    expect([
      full.images.usedBytes > 0n,
      full.images.inodesUsed > 0n,
      full.containers.inodesUsed,
      full.images.mountpoint !== '',
    ]).toStrictEqual([true, true, 0n, true]);
    await storage.mountRootfs(input, fx);
    stage.write(input.id);
    expect((await storage.usage(fx)).containers.inodesUsed > 0n).toBe(true);
    await storage.removeRootfs(input, fx);
    for (const diffId of input.layers) await storage.removeLayer({ diffId }, fx);
    const { images, containers } = await storage.usage(fx);
    expect([images.usedBytes, images.inodesUsed, containers.usedBytes, containers.inodesUsed]).toStrictEqual([
      0n,
      0n,
      0n,
      0n,
    ]);
  });
});
