// Registries that lie: the pull fails with the layer's name and leaves nothing, and what is good can be pulled
// afterwards.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { imageOf, type Image, layerOf } from '../../../scripts/support/image.ts';
import { until } from '../../support/eventually.ts';
import { Crictl, describePods } from '../support/crictl.ts';
import { makeWorld, type World } from '../support/world.ts';

const layer = (text: string) => layerOf([{ type: 'file', path: 'file', mode: 0o644, content: text }]);

/** An image of two layers of which the second's blob is something else than its digest says. */
function lying(change: (bytes: Buffer) => Buffer): Image {
  const image = imageOf({}, [layer('good'), layer('promised '.repeat(1000))]);
  return {
    ...image,
    layers: image.layers.map((one, index) =>
      index === 0 ? one : { ...one, blob: { ...one.blob, bytes: change(one.blob.bytes) } },
    ),
  };
}

const flipped = (bytes: Buffer): Buffer => {
  const copy = Buffer.from(bytes);
  copy[copy.length - 1] = (copy.at(-1) ?? 0) ^ 1;
  return copy;
};

/** The layer is what its digest says, but not what the config's diff-id says. */
function wrongDiffId(): Image {
  const [good, other] = [layer('good'), layer('other')];
  return imageOf({}, [good, { ...other, diffId: layer('third').diffId }]);
}

/** Every file below a directory. */
const filesBelow = (path: string): string[] =>
  readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));

describePods('a registry that lies', () => {
  const lies = new Map([
    ['lies/flipped:1', lying(flipped)],
    ['lies/short:1', lying((bytes) => bytes.subarray(0, bytes.length - 10))],
    ['lies/long:1', lying((bytes) => Buffer.concat([bytes, Buffer.from('more')]))],
    ['lies/diff-id:1', wrongDiffId()],
  ]);
  let world: World;
  let crictl: Crictl;
  beforeAll(async () => {
    world = await makeWorld({ name: 'lies', images: lies });
    crictl = new Crictl(world);
  });
  afterAll(async () => await world.close());

  /** Of layers and of what is on its way: journal and flight recorder write whenever something happens. */
  const stored = (): string[] =>
    filesBelow(world.instance.root).filter((path) => !/\/(?:journal|flight)\b/u.test(path));

  test.each([...lies.keys()])('F63: %s fails, names the layer and leaves nothing', async (name) => {
    const before = stored();
    const said = await crictl.fails('pull', `${world.registry}/${name}`);
    const bad = lies.get(name)?.layers[1];
    expect(said).toContain(name === 'lies/diff-id:1' ? bad?.diffId : bad?.blob.digest);
    expect(await crictl.ok('images', '-q')).toBe('');
    // what a failed pull has unpacked is deleted in the background
    await until(() => !stored().some((path) => path.includes('/trash/')));
    expect(stored()).toEqual(before);
  });

  test('a pull of a missing image fails with the reason; the good image can be pulled', async () => {
    expect(await crictl.fails('pull', `${world.registry}/not/there:1`)).toMatch(/NotFound/);
    await crictl.ok('pull', world.imageName);
    await crictl.ok('rmi', world.imageName);
    expect(await world.leftovers()).toEqual([]);
  });
});
