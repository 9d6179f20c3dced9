/**
 * Layers made from seeds (test/support/layers), unpacked by our store and by others: GNU tar for each layer by itself,
 * containers/storage for images of several, whose merged trees are compared with what overlayfs shows of ours.
 */
import type { BigIntStats } from 'node:fs';
import { lstatSync, mkdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { mountFilesystem } from '../../../src/host/mounts/mounts.ts';
import type { LayerStore } from '../../../src/oci/images/store/layer-store.ts';
import { measureTrees } from '../../../src/oci/trees/remove-tree.ts';
import { LayerGenerator } from '../../support/layers/generate.ts';
import type { GeneratedLayer, Tree } from '../../support/layers/tree.ts';
import { isLateLink, mergedTree, parentOf } from '../../support/layers/tree.ts';
import { digestOf } from '../../unit/oci/layers/tar-builder.ts';
import { describeAsRoot, openStore, put, scratch, treeOf } from '../unpack/support.ts';
import { showMerged } from './merged.ts';
import { byGnuTar, bySkopeo, noSkopeo } from './reference.ts';
import { unless } from '../../support/skips/unless.ts';

const SINGLE_LAYERS = 150;
const IMAGES = 16;
const LAYERS_PER_IMAGE = 4;

/** What stands behind the path in a line of `treeOf`: mode, owners, time. */
const ATTRIBUTES = / (?:1[0-9]{5}|[246][0-7]{4}) [0-9]+:[0-9]+( -?[0-9]+)/u;

/** One line per entry. Directories of which nobody can know the time are shown without. */
function comparable(root: string, untimed: ReadonlySet<string>): readonly string[] {
  return treeOf(root).map((line) => {
    const found = ATTRIBUTES.exec(line);
    if (found === null || !untimed.has(line.slice(0, found.index))) return line;
    return line.replace(ATTRIBUTES, (all, time: string) => `${all.slice(0, -time.length)} (any time)`);
  });
}

function attributesOf(path: string): Pick<BigIntStats, 'mode' | 'uid' | 'gid' | 'mtimeNs'> {
  const { mode, uid, gid, mtimeNs } = lstatSync(path, { bigint: true });
  return { mode, uid, gid, mtimeNs };
}

/** A parent that no entry describes has the time at which it was made. */
const undescribed = (tree: Tree): string[] =>
  [...tree].filter(([, node]) => !node.described).map(([path]) => path);

/** Their times are set when links that lead outside are not there yet. */
const withLateLinks = (tree: Tree): string[] =>
  [...tree].filter(([, { entry }]) => isLateLink(entry)).map(([path]) => parentOf(path));

describeAsRoot('generated layers', () => {
  const root = scratch('compare');
  const features = new Map<string, number>();
  let store: LayerStore;

  beforeAll(async () => {
    // in memory: the store syncs its file system for each layer
    mkdirSync(join(root, 'tmpfs'));
    await mountFilesystem({
      type: 'tmpfs',
      source: 'tmpfs',
      target: join(root, 'tmpfs'),
      options: [['size', '1g']],
    });
    store = openStore(join(root, 'tmpfs/store'));
  });

  function generate(seed: number, lower?: Tree): GeneratedLayer {
    const layer = new LayerGenerator(lower === undefined ? { seed } : { seed, lower }).generate();
    for (const feature of layer.features) features.set(feature, (features.get(feature) ?? 0) + 1);
    return layer;
  }

  test(`S58: ${SINGLE_LAYERS} layers match GNU tar’s output, entry by entry, and the size in their record`, async () => {
    for (let seed = 1; seed <= SINGLE_LAYERS; seed += 1) {
      const layer = generate(seed);
      const theirs = join(root, `tmpfs/gnu-${seed}`);
      await byGnuTar(layer.tar, theirs, layer.replacesTrees);
      const ours = await put(store, layer.tar);
      const untimed = new Set([...undescribed(layer.tree), ...withLateLinks(layer.tree)]);
      expect(comparable(ours, untimed), `seed ${seed}`).toEqual(comparable(theirs, untimed));
      if (layer.tree.has(''))
        expect(attributesOf(ours), `root of seed ${seed}`).toEqual(attributesOf(theirs));
      expect(await store.record(digestOf(layer.tar)), `seed ${seed}`).toMatchObject(
        measureTrees([dirname(ours)]),
      );
      rmSync(theirs, { recursive: true });
    }
  });

  const missing = noSkopeo();
  if (missing !== undefined) process.stdout.write(`skipped: images against containers/storage: ${missing}\n`);
  unless(test, missing)(
    `S58: ${IMAGES} images of ${LAYERS_PER_IMAGE} layers match containers/storage at each layer`,
    async () => {
      for (let at = 1; at <= IMAGES; at += 1) {
        const layers: GeneratedLayer[] = [];
        const merged: Tree[] = [];
        for (let layer = 0; layer < LAYERS_PER_IMAGE; layer += 1) {
          const lower: Tree = merged.at(-1) ?? new Map();
          layers.push(generate(10_000 + at * 100 + layer, lower));
          merged.push(mergedTree(lower, layers.at(-1) as GeneratedLayer));
        }
        const directory = join(root, `tmpfs/skopeo-${at}`);
        const theirs = await bySkopeo(
          layers.map(({ tar }) => tar),
          directory,
        );
        const untimed = merged.map((tree) => new Set(undescribed(tree)));
        const tars = layers.map((layer) => layer.tar);
        const ours = await showMerged(
          store,
          tars,
          join(directory, 'merged'),
          () => true,
          (rootfs, top) => comparable(rootfs, untimed[top] ?? new Set()),
        );
        for (const [top, lines] of ours.entries()) {
          expect(lines, `image ${at}, layer ${top}`).toEqual(
            comparable(theirs[top] ?? '', untimed[top] ?? new Set()),
          );
        }
        rmSync(directory, { recursive: true });
      }
      process.stdout.write(
        `compared ${SINGLE_LAYERS} layers with GNU tar and ${IMAGES * LAYERS_PER_IMAGE} with containers/storage; layers with ${[...features].map(([name, count]) => `${name}: ${count}`).join(', ')}\n`,
      );
    },
  );
});
