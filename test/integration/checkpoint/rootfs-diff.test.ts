// What a container has changed, where it has made a directory anew in the place of something of its image.
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AT_FDCWD } from '../../../src/host/ffi-constants.ts';
import { libc } from '../../../src/host/ffi.ts';
import { setXattrAt } from '../../../src/host/files-at.ts';
import { rootfsChanges } from '../../../src/oci/checkpoint/rootfs-diff.ts';

const reason = process.getuid?.() === 0 ? '' : 'needs root';
if (reason !== '') console.log(`changes of a root file system are not tested: ${reason}`);

describe.skipIf(reason !== '')('a directory that was made anew', () => {
  let directory = '';
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'rootfs-diff-'));
    for (const path of ['upper/made', 'real/made', 'linked', 'host']) mkdirSync(join(directory, path), { recursive: true });
    setXattrAt(AT_FDCWD, join(directory, 'upper/made'), 'trusted.overlay.opaque', Buffer.from('y'));
    writeFileSync(join(directory, 'upper/made/new'), '');
    writeFileSync(join(directory, 'real/made/old'), '');
    writeFileSync(join(directory, 'host/secret'), '');
    symlinkSync(join(directory, 'host'), join(directory, 'linked/made'));
  });
  afterEach(() => rmSync(directory, { recursive: true }));
  const deletedOver = async (...lowers: readonly string[]): Promise<readonly string[]> =>
    (await rootfsChanges(join(directory, 'upper'), lowers.map((lower) => join(directory, lower)), [])).deleted.map(String);

  it('has deleted what its image has there', async () => {
    expect(await deletedOver('real')).toEqual(['made/old']);
  });

  it('S89 layers are opened in the pool, and each of them once', async () => {
    for (const path of ['upper/again', 'real/again']) mkdirSync(join(directory, path));
    setXattrAt(AT_FDCWD, join(directory, 'upper/again'), 'trusted.overlay.opaque', Buffer.from('y'));
    writeFileSync(join(directory, 'real/again/older'), '');
    const before = readdirSync('/proc/self/fd').length;
    const { openat, openat2 } = libc;
    const opened: unknown[] = [];
    const refused = (): never => {
      throw new Error('opened on the main thread');
    };
    Object.assign(libc, {
      openat: Object.assign(refused, {
        info: openat.info,
        async: ((parent, name, ...rest) => {
          opened.push(name);
          openat.async(parent, name, ...rest);
        }) as typeof openat.async,
      }),
      openat2: Object.assign(() => refused(), { info: openat2.info, async: openat2.async }),
    });
    try {
      expect((await deletedOver('real')).toSorted()).toEqual(['again/older', 'made/old']);
    } finally {
      Object.assign(libc, { openat, openat2 });
    }
    expect(opened).toEqual([join(directory, 'real')]);
    expect(readdirSync('/proc/self/fd').length).toBe(before);
  });

  it('S54 a link in a layer to a directory of the host shows nothing of what is there', async () => {
    expect(await deletedOver('linked', 'real')).toEqual(['made/old']);
  });
});
