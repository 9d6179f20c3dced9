// Containers and layers that are made below one directory are spread over an ext4 disk without a journal.
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { AttachmentCache } from '../../../src/network/attachment-cache.ts';
import { storeDirectories } from '../../../src/oci/images/store/records/store-directories.ts';
import { storePaths } from '../../../src/oci/images/store/records/layer-layout.ts';
import { sandboxId } from '../../unit/actors/fixtures.ts';
import { makeDisk, whyNoFrozenDisk } from '../../support/frozen-disk.ts';
import { lacking, unless } from '../../support/skips/unless.ts';
import { scratch } from '../unpack/support.ts';

const NO_DNS = { nameservers: [], domain: '', search: [], options: [] };
const result = { cniVersion: '1.0.0', interfaces: [], ips: [], routes: [], dns: NO_DNS, raw: {} } as const;

/** The flags of chattr(1) that a directory has. */
const flagsOf = (path: string): string =>
  execFileSync('/usr/bin/lsattr', ['-d', path], { encoding: 'utf8' }).split(' ')[0]?.replaceAll('-', '') ??
  '';

unless(describe, whyNoFrozenDisk() || lacking('/usr/bin/lsattr'))('an ext4 disk', () => {
  const root = scratch('spread');
  const disks = [
    { name: 'without a journal', features: '^has_journal', expected: 'Te' },
    { name: 'with one', features: 'has_journal', expected: 'e' },
  ];

  test.each(disks)(
    '$name: what holds containers, layers and attachments',
    async ({ name, features, expected }) => {
      const path = join(root, name.replaceAll(' ', '-'));
      const disk = makeDisk(path, features);
      onTestFinished(() => disk.remove());
      const paths = storePaths(join(path, 'store'));
      const gate = <T>(call: () => Promise<T>): Promise<T> => call();
      for (let start = 0; start < 2; start += 1) {
        const directories = storeDirectories(paths, gate, gate, () => undefined);
        await directories.ofImages();
        await directories.ofContainers();
        expect([paths.containers, paths.partial].map(flagsOf)).toEqual([expected, expected]);
        expect([paths.root, paths.layers, paths.trash].map(flagsOf)).toEqual(['e', 'e', 'e']);
      }
      await new AttachmentCache(join(path, 'cni/cache')).keepResult(sandboxId(), { complete: true, result });
      expect(['cni', 'cni/cache'].map((name) => flagsOf(join(path, name)))).toEqual([expected, 'e']);
      // it is about the directory's children, not about theirs
      mkdirSync(join(paths.containers, 'one'));
      expect(flagsOf(join(paths.containers, 'one'))).toBe('e');
    },
  );
});
