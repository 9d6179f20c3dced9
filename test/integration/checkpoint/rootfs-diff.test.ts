// What a container has changed, where it has made a directory anew in the place of something of its image.
import {
  chmodSync,
  lchownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AT_FDCWD } from '../../../src/host/ffi/constants.ts';
import { libc } from '../../../src/host/ffi/ffi.ts';
import { setXattrAt } from '../../../src/host/files/files-at.ts';
import type { DiffOptions } from '../../../src/oci/runtime/checkpoint/rootfs-diff.ts';
import { rootfsChanges } from '../../../src/oci/runtime/checkpoint/rootfs-diff.ts';
import { withProtectedLinks } from '../../support/protected-links.ts';
import { unless } from '../../support/skips/unless.ts';

const reason = process.getuid?.() === 0 ? '' : 'needs root';
if (reason !== '') console.log(`changes of a root file system are not tested: ${reason}`);

unless(describe, reason)('a recreated directory', () => {
  let directory = '';
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'rootfs-diff-'));
    for (const path of ['upper/made', 'real/made', 'linked', 'host'])
      mkdirSync(join(directory, path), { recursive: true });
    setXattrAt(AT_FDCWD, join(directory, 'upper/made'), 'trusted.overlay.opaque', Buffer.from('y'));
    writeFileSync(join(directory, 'upper/made/new'), '');
    writeFileSync(join(directory, 'real/made/old'), '');
    writeFileSync(join(directory, 'host/secret'), '');
    symlinkSync(join(directory, 'host'), join(directory, 'linked/made'));
  });
  afterEach(() => rmSync(directory, { recursive: true }));
  const deletedOver = async (...lowers: readonly string[]): Promise<readonly string[]> =>
    (
      await rootfsChanges(
        join(directory, 'upper'),
        lowers.map((lower) => join(directory, lower)),
        [],
      )
    ).deleted.map(String);

  it('counts the image’s entries as deleted', async () => {
    expect(await deletedOver('real')).toEqual(['made/old']);
  });

  it('S89 layers are opened and attributes read in the pool, and each layer is opened once', async () => {
    for (const path of ['upper/again', 'real/again']) mkdirSync(join(directory, path));
    setXattrAt(AT_FDCWD, join(directory, 'upper/again'), 'trusted.overlay.opaque', Buffer.from('y'));
    writeFileSync(join(directory, 'real/again/older'), '');
    const before = readdirSync('/proc/self/fd').length;
    const { openat, openat2, lgetxattr } = libc;
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
      lgetxattr: Object.assign(() => refused(), { info: lgetxattr.info, async: lgetxattr.async }),
    });
    try {
      expect((await deletedOver('real')).toSorted()).toEqual(['again/older', 'made/old']);
    } finally {
      Object.assign(libc, { openat, openat2, lgetxattr });
    }
    expect(opened).toEqual([join(directory, 'real')]);
    expect(readdirSync('/proc/self/fd').length).toBe(before);
  });

  it('S54 a link in a layer to a directory of the host exposes nothing of it', async () => {
    expect(await deletedOver('linked', 'real')).toEqual(['made/old']);
  });

  it('S54 so does one of another user where everybody may write, which the kernel refuses before it is taken for a link', async () => {
    chmodSync(join(directory, 'linked'), 0o1777);
    lchownSync(join(directory, 'linked/made'), 1000, 1000);
    expect(await withProtectedLinks(() => deletedOver('linked', 'real'))).toEqual(['made/old']);
  });

  it('a longer value of the attribute is not taken for overlayfs’s', async () => {
    setXattrAt(AT_FDCWD, join(directory, 'upper/made'), 'trusted.overlay.opaque', Buffer.from('yes'));
    expect(await deletedOver('real')).toEqual([]);
  });
});

unless(describe, reason)('S89 a directory of any number of entries', () => {
  let directory = '';
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'rootfs-diff-'));
    for (const path of ['upper/made', 'lower/made', 'seed'])
      mkdirSync(join(directory, path), { recursive: true });
    setXattrAt(AT_FDCWD, join(directory, 'upper/made'), 'trusted.overlay.opaque', Buffer.from('y'));
    writeFileSync(join(directory, 'seed/file'), '');
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  const FILES = 50;
  const ENOUGH = 1000;
  /** Directories for which `isLarge` holds have more entries than anybody should read; `read` counts them. */
  const withLarge = (isLarge: (path: string) => boolean, bounds: NonNullable<DiffOptions['bounds']>) => {
    const state = { read: 0 };
    const one = readdirSync(join(directory, 'seed'), { withFileTypes: true, encoding: 'buffer' })[0];
    async function* entries(path: string | Buffer): AsyncGenerator<NonNullable<typeof one>> {
      const names = readdirSync(path, { withFileTypes: true, encoding: 'buffer' });
      yield* names;
      while (isLarge(path.toString()) && one !== undefined && state.read < ENOUGH) {
        state.read += 1;
        yield Object.assign(Object.create(one) as typeof one, { name: Buffer.from(`file-${state.read}`) });
      }
    }
    const options: DiffOptions = { bounds, entries };
    const changes = (): Promise<unknown> =>
      rootfsChanges(join(directory, 'upper'), [join(directory, 'lower')], [], options);
    return { state, changes };
  };

  it('is read as far as the bound of files, and no further', async () => {
    const { state, changes } = withLarge((path) => path.endsWith('/upper/'), {
      changedFiles: FILES,
      changedBytes: 1_000_000,
    });
    await expect(changes()).rejects.toMatchObject({ fault: { kind: 'exhausted' } });
    expect(state.read).toBeLessThanOrEqual(FILES + 1);
  });

  it('is read as far as the bound of bytes, and no further', async () => {
    const { state, changes } = withLarge((path) => path.endsWith('/upper/'), {
      changedFiles: 1_000_000,
      changedBytes: FILES,
    });
    await expect(changes()).rejects.toMatchObject({ fault: { kind: 'exhausted' } });
    expect(state.read).toBeLessThanOrEqual(FILES);
  });

  it('a replaced directory of a layer is read within the same bounds', async () => {
    const { state, changes } = withLarge((path) => path.startsWith('/proc/self/fd/'), {
      changedFiles: FILES,
      changedBytes: 1_000_000,
    });
    await expect(changes()).rejects.toMatchObject({ fault: { kind: 'exhausted' } });
    expect(state.read).toBeLessThanOrEqual(FILES + 1);
  });

  it('is listed whole within the bounds', async () => {
    for (let at = 0; at < FILES; at += 1) writeFileSync(join(directory, `upper/made/${at}`), '');
    const { changed } = await rootfsChanges(join(directory, 'upper'), [join(directory, 'lower')], []);
    expect(changed).toHaveLength(FILES + 1);
  });
});
