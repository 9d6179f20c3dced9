// Containers and layers that are made below one directory are spread over an ext4 disk.
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { storeDirectories } from '../../../src/oci/images/store/records/store-directories.ts';
import { storePaths } from '../../../src/oci/images/store/records/layer-layout.ts';
import { spreadSubdirectories } from '../../../src/host/tuning/spread-directories.ts';
import { makeDisk, whyNoFrozenDisk } from '../../support/frozen-disk.ts';
import { lacking, unless } from '../../support/skips/unless.ts';
import { scratch } from '../unpack/support.ts';

/** The flags of chattr(1) that a directory has. */
const flagsOf = (path: string): string =>
  execFileSync('/usr/bin/lsattr', ['-d', path], { encoding: 'utf8' }).split(' ')[0]?.replaceAll('-', '') ??
  '';

unless(describe, whyNoFrozenDisk() || lacking('/usr/bin/lsattr'))('an ext4 disk', () => {
  const root = scratch('spread');
  const path = join(root, 'disk');
  let disk: ReturnType<typeof makeDisk>;
  beforeAll(() => {
    disk = makeDisk(path);
  });
  afterAll(() => disk.remove());

  test('has the flag of chattr(1), T, on what holds containers and layers, and on nothing else', async () => {
    const paths = storePaths(join(path, 'store'));
    const gate = <T>(call: () => Promise<T>): Promise<T> => call();
    for (let start = 0; start < 2; start += 1) {
      const directories = storeDirectories(paths, gate, gate, () => undefined);
      await directories.ofImages();
      await directories.ofContainers();
      expect([paths.containers, paths.partial].map(flagsOf)).toEqual(['Te', 'Te']);
      expect([paths.root, paths.layers, paths.trash].map(flagsOf)).toEqual(['e', 'e', 'e']);
    }
    // it is about the directory's children, not about theirs
    mkdirSync(join(paths.containers, 'one'));
    expect(flagsOf(join(paths.containers, 'one'))).toBe('e');
  });
});

describe('another file system', () => {
  test('is left as it is, and a missing directory is no failure here', async () => {
    await spreadSubdirectories('/proc/self');
    await spreadSubdirectories('/proc/self/none');
  });
});
