// An image as a file that troupe and containerd import: the form of `docker save`.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { busyboxEntries } from '../../../scripts/support/busybox-image.ts';
import { imageOf, layerOf } from '../../../scripts/support/image.ts';
import { tarOf } from '../../../scripts/support/tar.ts';
import { cacheDirectory } from '../../support/tools/cache.ts';

export const IMAGE = 'registry.example/box:1';

/** Writes the archive of a busybox that sleeps. */
export async function writeImage(path: string): Promise<void> {
  const layer = layerOf(busyboxEntries(join(cacheDirectory, 'debian/busybox-static/bin/busybox')), 'none');
  const { config } = imageOf({ Cmd: ['sleep', '1000000'] }, [layer]);
  const files = {
    'config.json': config.bytes,
    'layer.tar': layer.blob.bytes,
    'manifest.json': JSON.stringify([{ Config: 'config.json', RepoTags: [IMAGE], Layers: ['layer.tar'] }]),
  };
  await writeFile(
    path,
    tarOf(
      Object.entries(files).map(([name, content]) => ({ type: 'file', path: name, mode: 0o644, content })),
    ),
  );
}
