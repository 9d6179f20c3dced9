import { expect, test } from 'vitest';
import { digestOf } from '../../layers/tar-builder.ts';
import { storageLimits } from '../../../../../src/oci/bounds.ts';
import type { StoredLayer } from '../../../../../src/oci/images/store/drivers/rootfs-driver.ts';
import { MountableLayers } from '../../../../../src/oci/images/store/mountable-layers.ts';

const digest = (text: string) => digestOf(Buffer.from(text));
const list = (...names: readonly string[]) => names.map(digest);
const stored = (text: string, isOwn = true): StoredLayer => ({
  diffId: digest(text),
  dir: `/layers/${text}`,
  layers: '/layers',
  isOwn,
});
const read = (...names: readonly string[]) => Promise.resolve(names.map((name) => stored(name)));

test('F27 lists with a forgotten layer are dropped, and no others', async () => {
  const known = new MountableLayers();
  await known.learn(list('a', 'b'), () => read('a', 'b'));
  await known.learn(list('b', 'c'), () => read('b', 'c'));
  // a layer that is still to be pulled has no record either, and is in no list
  known.forget(digest('d'));
  expect(known.find(list('a', 'b'))).toEqual([stored('a'), stored('b')]);
  known.forget(digest('a'));
  expect([known.find(list('a', 'b')), known.find(list('b', 'c'))]).toEqual([
    undefined,
    [stored('b'), stored('c')],
  ]);
  known.drop(list('b', 'c'));
  expect(known.find(list('b', 'c'))).toBeUndefined();
});

test('F27 a list is not kept if one of its layers was forgotten while the records were read', async () => {
  const known = new MountableLayers();
  const forgetting = async (diffId: string, ...names: readonly string[]) => {
    const found = await read(...names);
    known.forget(digest(diffId));
    return found;
  };
  await known.learn(list('a', 'b'), () => forgetting('b', 'a', 'b'));
  expect(known.find(list('a', 'b'))).toBeUndefined();
  await known.learn(list('a', 'b'), () => forgetting('c', 'a', 'b'));
  expect(known.find(list('a', 'b'))).toEqual([stored('a'), stored('b')]);
});

test('a list whose lowest layers are invisible and missing is kept without them', async () => {
  const known = new MountableLayers();
  await known.learn(list('low', 'top'), async () => {
    known.forget(digest('low'));
    return read('top');
  });
  expect(known.find(list('low', 'top'))).toEqual([stored('top')]);
});

test('a list whose records cannot be read is not kept', async () => {
  const known = new MountableLayers();
  await expect(known.learn(list('a'), () => Promise.reject(new Error('EIO')))).rejects.toThrow('EIO');
  expect(known.find(list('a'))).toBeUndefined();
});

test('F27 layers of other stores are not kept', async () => {
  const known = new MountableLayers();
  await known.learn(list('a', 'b'), () => Promise.resolve([stored('a'), stored('b', false)]));
  expect(known.find(list('a', 'b'))).toBeUndefined();
});

test('the oldest list makes room for a new one', async () => {
  const known = new MountableLayers();
  for (let at = 0; at <= storageLimits.mountableLists; at += 1)
    await known.learn(list(String(at)), () => read(String(at)));
  const kept = Array.from({ length: storageLimits.mountableLists + 1 }, (_none, at) =>
    known.find(list(String(at))),
  );
  expect([kept[0], kept.filter((one) => one !== undefined).length]).toEqual([
    undefined,
    storageLimits.mountableLists,
  ]);
});
