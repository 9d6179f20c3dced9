/** Layers of what Debian ships: the files of packages that are installed here, as GNU tar packs them in its formats. */
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { mountFilesystem } from '../../../src/host/mounts/mounts.ts';
import type { LayerStore } from '../../../src/oci/images/store/layer-store.ts';
import { run, runOrThrow } from '../../support/run.ts';
import { describeAsRoot, openStore, put, scratch, treeOf } from '../unpack/support.ts';
import { showMerged } from './merged.ts';
import { byGnuTar, bySkopeo, noSkopeo } from './reference.ts';
import { unless, lacking } from '../../support/skips/unless.ts';

const LAYERS = 20;
const LAYERS_PER_IMAGE = 5;
/**
 * Essential ones, which every Debian and Ubuntu has, and some with hard links and set-id programs; those that are there
 * count.
 */
const PACKAGES = [
  'base-files',
  'base-passwd',
  'bsdutils',
  'coreutils',
  'dash',
  'debconf',
  'debianutils',
  'diffutils',
  'findutils',
  'grep',
  'gzip',
  'hostname',
  'init-system-helpers',
  'libc-bin',
  'libpam-runtime',
  'login',
  'mount',
  'ncurses-base',
  'ncurses-bin',
  'passwd',
  'perl-base',
  'sed',
  'sysvinit-utils',
  'tar',
  'util-linux',
];
const FORMATS = ['gnu', 'posix', 'ustar', 'oldgnu'];

const rootLinks = new Set(
  readdirSync('/', { withFileTypes: true })
    .filter((one) => one.isSymbolicLink())
    .map((one) => `/${one.name}`),
);

const hasDpkg = existsSync('/usr/bin/dpkg-query');
if (!hasDpkg) process.stdout.write('skipped: layers of Debian: /usr/bin/dpkg-query is missing\n');

describeAsRoot('layers of Debian packages', () => {
  const root = scratch('debian');
  const tars: Buffer[] = [];
  let store: LayerStore;

  beforeAll(async () => {
    mkdirSync(join(root, 'tmpfs'));
    await mountFilesystem({
      type: 'tmpfs',
      source: 'tmpfs',
      target: join(root, 'tmpfs'),
      options: [['size', '1g']],
    });
    store = openStore(join(root, 'tmpfs/store'));
    if (!hasDpkg) return;
    for (const name of PACKAGES) {
      const listed = await run(['dpkg-query', '-L', name]);
      if (listed.code === 0 && tars.length < LAYERS)
        tars.push(await packed(listed.stdout, FORMATS[tars.length % FORMATS.length] ?? ''));
    }
  });

  /**
   * What of these absolute paths is there (documentation may have been left out), where it really lies (/bin is a
   * link).
   */
  async function packed(paths: string, format: string): Promise<Buffer> {
    const listed = paths
      .split('\n')
      .filter((path) => path.startsWith('/') && lstatSync(path, { throwIfNoEntry: false }) !== undefined);
    const real = listed
      .map((path) => join(realpathSync(dirname(path)), basename(path)))
      .filter((path) => !rootLinks.has(path));
    // as builders do, with all parents
    const there = new Set(
      real.flatMap((path) =>
        path.split('/').map((_, count, parts) => `/${parts.slice(1, count + 1).join('/')}`),
      ),
    );
    const [list, file] = [join(root, 'list'), join(root, 'package.tar')];
    writeFileSync(list, [...there].map((path) => `.${path}\0`).join(''));
    await runOrThrow([
      'tar',
      `--format=${format}`,
      '--numeric-owner',
      ...(format === 'posix' ? ['--xattrs'] : []),
      '-cf',
      file,
      '-C',
      '/',
      '--no-recursion',
      '--null',
      '-T',
      list,
    ]);
    return readFileSync(file);
  }

  unless(test, lacking('/usr/bin/dpkg-query'))(`${LAYERS} packages match GNU tar’s output`, async () => {
    expect(tars).toHaveLength(LAYERS);
    for (const [at, tar] of tars.entries()) {
      const theirs = join(root, `tmpfs/gnu-${at}`);
      await byGnuTar(tar, theirs);
      expect(treeOf(await put(store, tar)), `layer ${at}`).toEqual(treeOf(theirs));
      rmSync(theirs, { recursive: true });
    }
  });

  const missing = noSkopeo();
  if (missing !== undefined)
    process.stdout.write(`skipped: images of Debian against containers/storage: ${missing}\n`);
  unless(test, lacking('/usr/bin/dpkg-query') || missing)(
    `stacked ${LAYERS_PER_IMAGE} by ${LAYERS_PER_IMAGE} they match containers/storage`,
    async () => {
      for (let at = 0; at < tars.length; at += LAYERS_PER_IMAGE) {
        const layers = tars.slice(at, at + LAYERS_PER_IMAGE);
        const directory = join(root, `tmpfs/skopeo-${at}`);
        const theirs = await bySkopeo(layers, directory);
        const ours = await showMerged(
          store,
          layers,
          join(root, `tmpfs/merged-${at}`),
          (top) => top === layers.length - 1,
          (rootfs) => treeOf(rootfs),
        );
        expect(ours.at(-1), `layers ${at} and up`).toEqual(treeOf(theirs.at(-1) ?? ''));
        rmSync(directory, { recursive: true });
      }
    },
  );
});
