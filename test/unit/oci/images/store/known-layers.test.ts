// Further containers of an image are mounted with the layers that its first one found.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import type { Digest } from '../../../../../src/base/ids.ts';
import { silentLog } from '../../../../../src/base/log.ts';
import { realRandom } from '../../../../../src/host/clock/random.ts';
import { overlayDriver } from '../../../../../src/oci/images/store/drivers/overlay.ts';
import type { RootRequest } from '../../../../../src/oci/images/store/drivers/rootfs-driver.ts';
import { LayerStore } from '../../../../../src/oci/images/store/layer-store.ts';
import { layerDir, storePaths } from '../../../../../src/oci/images/store/records/layer-layout.ts';
import { encodeLayerRecord } from '../../../../../src/oci/images/store/records/layer-record.ts';
import { mountRootfs } from '../../../../../src/oci/images/store/rootfs.ts';
import { containerId } from '../../../actors/fixtures.ts';
import { HandClock } from '../../../../support/hand-clock.ts';

const [one, two, absent] = ['a', 'b', 'c'].map((digit) => `sha256:${digit.repeat(64)}` as Digest) as [
  Digest,
  Digest,
  Digest,
];

function addLayer(root: string, diffId: Digest): void {
  const dir = layerDir(storePaths(root), diffId);
  mkdirSync(join(dir, 'diff'), { recursive: true });
  const counts = { tarBytes: 1, entries: 1, usedBytes: 1, inodes: 1, xattrsDropped: 0 };
  const record = { version: 1, diffId, blobDigest: diffId, rootOpaque: false, ...counts } as const;
  writeFileSync(join(dir, 'layer.json'), encodeLayerRecord(record));
}

/** A store with the two layers, another one beside it, and a driver that mounts nothing. */
function make(mountRoot: (request: RootRequest) => Promise<void> = () => Promise.resolve()) {
  const directory = mkdtempSync(join(tmpdir(), 'troupe-known-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const [root, other] = [join(directory, 'root'), join(directory, 'other')];
  for (const diffId of [one, two]) addLayer(root, diffId);
  const mounts: RootRequest[] = [];
  const store = new LayerStore({
    root,
    additionalRoots: [other],
    clock: new HandClock(),
    random: realRandom(),
    log: silentLog,
    driver: (host) => ({
      ...overlayDriver(host, { metacopy: false, isVolatile: () => true }),
      takeOver: () => Promise.resolve(),
      mountRoot: (request) => {
        mounts.push(request);
        return mountRoot(request);
      },
    }),
  });
  onTestFinished(() => store.close());
  let containers = 0;
  const mount = (...layers: readonly Digest[]) =>
    mountRootfs(store, { id: containerId(String((containers += 1))), layers });
  return { store, root, other, mounts, mount };
}

test('F27 a layer that is not in our store yet leaves the lists of other images', async () => {
  const { store, other, mount } = make();
  mkdirSync(join(other, 'layers'), { recursive: true });
  addLayer(other, absent);
  await mount(one);
  await mount(one, two);
  // as a pull asks for a layer, and as an image of another store is mounted
  await store.find(absent);
  await mount(absent);
  expect([[one], [one, two], [absent]].map((list) => store.mountable.find(list)?.length)).toEqual([
    1,
    2,
    undefined,
  ]);
});

test('F27 a deleted layer, or one whose record is gone, takes its lists along', async () => {
  const { store, root, mount } = make();
  await mount(one);
  await mount(one, two);
  await store.remove(two);
  expect([[one], [one, two]].map((list) => store.mountable.find(list)?.length)).toEqual([1, undefined]);
  rmSync(join(layerDir(storePaths(root), one), 'layer.json'));
  await store.record(one);
  expect(store.mountable.find([one])).toBeUndefined();
});

/** Fails once, with the second mount: the first one with known layers. */
function failingSecond(): (request: RootRequest) => Promise<void> {
  let count = 0;
  return () => ((count += 1) === 2 ? Promise.reject(new Error('no such device')) : Promise.resolve());
}

const layersIn = (mounts: readonly RootRequest[]) =>
  mounts.map(({ layers }) => layers.map(({ dir, isOwn }) => [isOwn, dir]));

test('F27 a layer that is gone here and is in another store is mounted from there', async () => {
  const { store, root, other, mounts, mount } = make(failingSecond());
  addLayer(other, one);
  await mount(one);
  rmSync(layerDir(storePaths(root), one), { recursive: true });
  await mount(one);
  const [ours, theirs] = [root, other].map((from) => layerDir(storePaths(from), one));
  expect(layersIn(mounts)).toEqual([[[true, ours]], [[true, ours]], [[false, theirs]]]);
  expect(store.mountable.find([one])).toBeUndefined();
});

test('a failed mount whose layers are all there is not repeated', async () => {
  const { mounts, mount } = make(failingSecond());
  await mount(one);
  await expect(mount(one)).rejects.toThrow('no such device');
  expect(mounts).toHaveLength(2);
});

test('the error of a failed mount is not hidden by records that cannot be read', async () => {
  const { store, mounts, mount } = make(failingSecond());
  await mount(one);
  const unreadable = Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO' });
  vi.spyOn(store, 'find').mockRejectedValue(unreadable);
  await expect(mount(one)).rejects.toThrow('no such device');
  expect(mounts).toHaveLength(2);
});

test('F27 a layer that is gone everywhere is the reason of a failed mount', async () => {
  const { root, other, mount } = make(failingSecond());
  mkdirSync(join(other, 'layers'), { recursive: true });
  await mount(one);
  rmSync(layerDir(storePaths(root), one), { recursive: true });
  await expect(mount(one)).rejects.toMatchObject({ fault: { kind: 'notFound', subject: one } });
});
