// Who holds the lock of a root, on file systems that give stat(2) another device than the kernel's list of locks has.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { lockDirectory, lockHolder } from '../../../src/host/files/directory-lock.ts';
import { unless } from '../../support/skips/unless.ts';
import { storageDrivers } from '../../support/storage-drivers.ts';

for (const { name, whyNot, place } of storageDrivers().filter((one) =>
  ['overlay', 'btrfs'].includes(one.name),
))
  unless(test, whyNot)(
    `F83 the holder is named: ${name === 'btrfs' ? 'btrfs' : 'the ordinary file system'}`,
    async () => {
      const disk = place('lock');
      onTestFinished(() => disk.remove());
      const [root, other] = [join(disk.path, 'root'), join(disk.path, 'other')];
      for (const directory of [root, other]) mkdirSync(directory);
      expect(await lockHolder(root)).toBeUndefined();
      const lock = await lockDirectory(root);
      expect([await lockHolder(root), await lockHolder(other)]).toEqual([process.pid, undefined]);
      await expect(lockDirectory(root)).rejects.toThrow(`held by process ${process.pid}`);
      await lock.release();
      expect(await lockHolder(root)).toBeUndefined();
    },
  );
