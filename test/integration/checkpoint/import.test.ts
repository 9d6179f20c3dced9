// What is taken of a checkpoint's archive, and what a hostile one can do: nothing but fail. In this process, without
// CRIU.
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { checkpointLimits } from '../../../src/oci/runtime/bounds.ts';
import {
  readCheckpointFacts as describeArchive,
  factsOf,
} from '../../../src/oci/runtime/checkpoint/restore/describe.ts';
import { unpackArchive } from '../../../src/oci/runtime/checkpoint/restore/import.ts';
import type { ArchiveSource } from '../../../src/oci/runtime/checkpoint/restore/protocol.ts';
import { archive, entry } from '../../unit/oci/layers/tar-builder.ts';
import { describeAsRoot } from '../unpack/support.ts';
import { checkpointTar, CONFIG, coreImage, members, SPEC } from './archives.ts';
import type { Parts } from './archives.ts';

describeAsRoot('archives of checkpoints', () => {
  let directory: string;
  let outside: string;
  let rootfs: string;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'troupe-import-'));
    outside = join(directory, 'outside');
    rootfs = join(directory, 'rootfs');
    mkdirSync(join(rootfs, 'etc'), { recursive: true });
    mkdirSync(outside);
    writeFileSync(join(outside, 'secret'), 'secret');
    writeFileSync(join(rootfs, 'etc/passwd'), 'root');
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  const placed = (bytes: Uint8Array): ArchiveSource => {
    writeFileSync(join(directory, 'c.tar'), bytes);
    return { archive: join(directory, 'c.tar') };
  };
  const inDirectory = (parts: Parts = {}): ArchiveSource & { readonly directory: string } => {
    const image = mkdtempSync(join(directory, 'image-'));
    for (const [name, body] of Object.entries(members(parts))) {
      mkdirSync(dirname(join(image, name)), { recursive: true });
      writeFileSync(join(image, name), body);
    }
    return { directory: image };
  };
  const digest = factsOf({ config: JSON.stringify(CONFIG), spec: JSON.stringify(SPEC) }).digest;
  const brought = async (source: ArchiveSource, expected = digest): Promise<string> => {
    const into = mkdtempSync(join(directory, 'into-'));
    await unpackArchive({ kind: 'import', source, digest: expected, into, rootfs });
    return into;
  };
  const refused = async (source: ArchiveSource, message: RegExp, kind = 'invalidRequest'): Promise<void> => {
    await expect(brought(source)).rejects.toMatchObject({
      fault: { kind, message: expect.stringMatching(message) },
    });
    expect(readdirSync(outside)).toEqual(['secret']);
    expect(readFileSync(join(outside, 'secret'), 'utf8')).toBe('secret');
  };

  it('S08: only the image, the mount points and the terminal are taken from an archive’s descriptions', async () => {
    const facts = {
      digest,
      images: [CONFIG.rootfsImageRef, CONFIG.rootfsImageName, CONFIG.rootfsImage],
      mounts: ['/etc/hosts', '/data', '/cache'],
      tty: false,
    };
    expect(await describeArchive(placed(checkpointTar()))).toEqual(facts);
    expect(await describeArchive(placed(gzipSync(checkpointTar())))).toEqual(facts);
    expect(await describeArchive(inDirectory())).toEqual(facts);
  });

  it('files that are not archives, and invalid descriptions, are refused', async () => {
    const refusal = (source: ArchiveSource, message: RegExp): Promise<void> =>
      expect(describeArchive(source)).rejects.toMatchObject({
        fault: { kind: 'invalidRequest', message: expect.stringMatching(message) },
      });
    const parts: readonly (readonly [Parts, RegExp])[] = [
      [{ 'config.dump': null }, /no config\.dump/u],
      [{ 'config.dump': '{"rootfsImage":"a\\nb"}' }, /names no image/u],
      [{ 'spec.dump': '7' }, /spec\.dump is not a JSON object/u],
      [{ 'spec.dump': '{"mounts":{"length":1e9}}' }, /invalid or too long list of mounts/u],
      [
        { 'spec.dump': '{"mounts":[{"type":"bind","destination":"data"}]}' },
        /a mount without an absolute destination/u,
      ],
    ];
    for (const [changed, message] of parts) await refusal(placed(checkpointTar(changed)), message);
    await refusal(placed(Buffer.from('no tar at all'.repeat(100))), /read tar/u);
    await refusal({ archive: join(directory, 'none.tar') }, /ENOENT/u);
    for (const path of [directory, '/dev/zero']) await refusal({ archive: path }, /not a regular file/u);
    // refused before a byte of it is kept
    await refusal(
      placed(archive(entry({ name: 'config.dump', size: checkpointLimits.documentBytes + 1 }))),
      /config\.dump has \d+ bytes, more than/u,
    );
  });

  it('CRIU’s files are imported for root alone, from an archive and from an image', async () => {
    for (const source of [placed(checkpointTar()), inDirectory()]) {
      const into = await brought(source);
      expect(readdirSync(into)).toEqual(['checkpoint']);
      expect(readdirSync(join(into, 'checkpoint')).toSorted()).toEqual(['core-1.img', 'inventory.img']);
      expect(lstatSync(join(into, 'checkpoint/core-1.img')).mode & 0o7777).toBe(0o600);
      expect(readFileSync(join(into, 'checkpoint/core-1.img'))).toEqual(coreImage());
    }
  });

  it('S08: an archive replaced after its validation is not restored', async () => {
    await refused(
      placed(checkpointTar({ 'spec.dump': JSON.stringify({ ...SPEC, mounts: [] }) })),
      /not the checkpoint that was described/u,
    );
  });

  it('a dump of another machine, and an incomplete dump, are refused', async () => {
    await refused(
      placed(checkpointTar({ 'checkpoint/core-2.img': coreImage(8) })),
      /core-2\.img is of another machine type/u,
    );
    await refused(placed(checkpointTar({ 'checkpoint/core-2.img': 'short' })), /not a CRIU image/u);
    await refused(
      placed(checkpointTar({ 'checkpoint/inventory.img': null })),
      /no checkpoint\/inventory\.img/u,
    );
    await refused(placed(checkpointTar().subarray(0, 4000)), /cut short/u);
  });

  it('S08: a link, a device or a second file in the place of a required one is refused, and no link is followed', async () => {
    const secret = join(outside, 'secret');
    await refused(
      placed(checkpointTar({}, entry({ name: 'checkpoint/pages-1.img', flag: '2', linkName: secret }))),
      /pages-1\.img is not a regular file/u,
    );
    await refused(
      placed(checkpointTar({}, entry({ name: 'checkpoint/pages-1.img', flag: '1', linkName: secret }))),
      /not a regular file/u,
    );
    await refused(
      placed(checkpointTar({}, entry({ name: 'checkpoint/pages-1.img', flag: '3', major: 1, minor: 5 }))),
      /not a regular file/u,
    );
    await refused(
      placed(checkpointTar({}, entry({ name: './checkpoint//core-1.img', body: coreImage() }))),
      /duplicate member/u,
    );
    await refused(placed(checkpointTar({}, entry({ name: '../outside/x', body: 'x' }))), /contains \.\./u);
    const image = inDirectory();
    symlinkSync(secret, join(image.directory, 'checkpoint/pages-1.img'));
    await refused(image, /pages-1\.img cannot be opened/u);
    const linked = inDirectory();
    rmSync(join(linked.directory, 'checkpoint'), { recursive: true });
    symlinkSync(outside, join(linked.directory, 'checkpoint'));
    await refused(linked, /checkpoint cannot be opened/u);
    // names that mean nothing are passed over, wherever they would lead
    const into = await brought(
      placed(
        checkpointTar(
          {},
          entry({ name: 'elsewhere', flag: '2', linkName: outside }),
          entry({ name: 'elsewhere/x', body: 'x' }),
          entry({ name: 'checkpoint/.hidden', body: 'x' }),
        ),
      ),
    );
    expect(readdirSync(join(into, 'checkpoint')).toSorted()).toEqual(['core-1.img', 'inventory.img']);
  });

  const changes = (...entries: readonly Buffer[]): ArchiveSource =>
    placed(checkpointTar({ 'rootfs-diff.tar': archive(...entries) }));

  it('written files come into the root file system and deleted ones go; directories keep their attributes', async () => {
    chmodSync(join(rootfs, 'etc'), 0o700);
    writeFileSync(join(rootfs, 'etc/old'), '');
    mkdirSync(join(rootfs, 'var/deep'), { recursive: true });
    const diff = archive(
      entry({ name: 'etc/new', body: 'new', uid: 7, mode: 0o640 }),
      entry({ name: 'etc/passwd', body: 'other' }),
      entry({ name: 'etc/.wh.old' }),
    );
    const into = await brought(
      placed(checkpointTar({ 'rootfs-diff.tar': diff, 'deleted.files': '["/var","/not/there"]' })),
    );
    expect(readdirSync(join(rootfs, 'etc')).toSorted()).toEqual(['new', 'passwd']);
    expect(readFileSync(join(rootfs, 'etc/passwd'), 'utf8')).toBe('other');
    expect(statSync(join(rootfs, 'etc/new'))).toMatchObject({ uid: 7, mode: 0o100640 });
    expect(lstatSync(join(rootfs, 'etc')).mode & 0o777).toBe(0o700);
    expect(existsSync(join(rootfs, 'var'))).toBe(false);
    expect(existsSync(join(into, 'rootfs-diff.tar'))).toBe(false);
  });

  it('F22 a restore leaves the least free space, in our directory and in the root file system', async () => {
    const facts = (free: number) => ({ bsize: 4096, blocks: 2 ** 24, bavail: free, files: 0, ffree: 0 });
    const source = changes(entry({ name: 'etc/new', body: Buffer.alloc(100_000, 1) }));
    const restoredWith = (into: string, full: string): Promise<void> =>
      unpackArchive({ kind: 'import', source, digest, into, rootfs }, (path) =>
        facts(path.startsWith(full) ? 100 : 2 ** 23),
      );
    for (const isOurs of [true, false]) {
      const into = mkdtempSync(join(directory, 'into-'));
      const full = isOurs ? into : rootfs;
      await expect(restoredWith(into, full)).rejects.toMatchObject({
        fault: { kind: 'exhausted', message: expect.stringContaining(`no space left on ${full} (`) },
      });
      expect(readdirSync(join(rootfs, 'etc'))).toEqual(['passwd']);
    }
    // the file system fills while it is written
    let asked = 0;
    const into = mkdtempSync(join(directory, 'into-'));
    const filling = unpackArchive(
      {
        kind: 'import',
        source: changes(
          ...[1, 2].map((at) => entry({ name: `big${at}`, body: Buffer.alloc(12 * 2 ** 20, at) })),
        ),
        digest,
        into,
        rootfs,
      },
      (path) => facts(path === rootfs && (asked += 1) > 1 ? 100 : 2 ** 23),
    );
    await expect(filling).rejects.toMatchObject({ fault: { kind: 'exhausted' } });
    expect(existsSync(join(rootfs, 'big1'))).toBe(true);
    expect(asked).toBe(2);
  });

  it('S08: files and deletions stay in the root file system, whatever its links and theirs say', async () => {
    symlinkSync(outside, join(rootfs, 'out'));
    symlinkSync('../../../../../../..', join(rootfs, 'up'));
    await brought(
      changes(
        entry({ name: `up${outside}/planted`, body: 'x' }),
        entry({ name: 'link', flag: '2', linkName: outside }),
        entry({ name: 'link/planted', body: 'x' }),
      ),
    );
    expect(readdirSync(outside)).toEqual(['secret']);
    await refused(changes(entry({ name: '../outside/planted', body: 'x' })), /contains \.\./u);
    await refused(
      changes(entry({ name: 'hard', flag: '1', linkName: 'link/secret' })),
      /which this layer does not have/u,
    );
    for (const list of [
      '["/out/secret"]',
      '["/up/../outside/secret"]',
      '["/"]',
      '[7]',
      '{}',
      'none',
      '["../outside/secret"]',
    ]) {
      await brought(placed(checkpointTar({ 'deleted.files': list }))).catch(() => undefined);
      expect(readdirSync(outside), list).toEqual(['secret']);
    }
  });
});
