// Every storage driver that this machine can run shows the same root file system, counts what it takes, and leaves
// nothing of what was cut off.
import { execFileSync } from 'node:child_process';
import { existsSync, lstatSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { StoragePort } from '../../../src/ports/storage.ts';
import { parseContainerId, parseSandboxId } from '../../../src/base/ids.ts';
import type { ContainerId, Digest, ImageId } from '../../../src/base/ids.ts';
import { stopKernelThread } from '../../../src/host/kernel-thread/kernel-thread.ts';
import { createLayout } from '../../../src/host/sandbox/layout.ts';
import {
  pinNamespaces,
  preparePinRoot,
  releasePinRoot,
  unpinNamespaces,
} from '../../../src/host/namespaces/namespaces.ts';
import { realRandom } from '../../../src/host/clock/random.ts';
import { createStorageDriver } from '../../../src/oci/images/store/driver.ts';
import type { LayerStore } from '../../../src/oci/images/store/layer-store.ts';
import { storageDrivers, unpackedProgram } from '../../support/storage-drivers.ts';
import type { Place } from '../../support/storage-drivers.ts';
import { run } from '../../support/run.ts';
import { archive, digestOf, entry, paxEntry } from '../../unit/oci/layers/tar-builder.ts';
import { clock, context, describeAsRoot, openStore, put, treeOf } from '../unpack/support.ts';
import { unless, lacking } from '../../support/skips/unless.ts';

const random = realRandom();
const newId = (): ContainerId =>
  parseContainerId(random.id()) ?? expect.fail('the random id is no container id');
const strace = '/usr/bin/strace';
const unpackOnce = join(import.meta.dirname, 'unpack-once.ts');
const mountOnce = join(import.meta.dirname, 'mount-once.ts');
const mappings = {
  uids: { containerId: 0, hostId: 70_000, length: 65_536 },
  gids: { containerId: 0, hostId: 140_000, length: 65_536 },
};

/** Not a call: fuse-overlayfs has been started, and has mounted or not. */
const ONCE_STARTED = 'started';

const directory = (name: string, mode = 0o755): Buffer => entry({ name, flag: '5', mode });
/** Two layers with all that a layer can say about another. */
const LOWER = archive(
  directory('./', 0o755),
  directory('etc/'),
  directory('opaque/'),
  directory('kept/', 0o1777),
  directory('gone/'),
  directory('tofile/'),
  entry({ name: 'etc/passwd', body: 'root', mode: 0o640, gid: 42 }),
  entry({ name: 'etc/removed', body: 'x' }),
  entry({ name: 'opaque/old', body: 'old' }),
  entry({ name: 'gone/a', body: 'a' }),
  entry({ name: 'tofile/a', body: 'a' }),
  entry({ name: 'todirectory', body: 'f' }),
  entry({ name: 'changed', body: 'low' }),
  entry({ name: 'su', body: 'program', mode: 0o4755 }),
  entry({ name: 'far', body: 'far', uid: 200_000 }),
);
const UPPER = archive(
  directory('./', 0o751),
  directory('etc/', 0o711),
  entry({ name: 'etc/.wh.removed' }),
  directory('opaque/'),
  entry({ name: 'opaque/.wh..wh..opq' }),
  entry({ name: 'opaque/new', body: 'new' }),
  entry({ name: '.wh.gone' }),
  entry({ name: 'tofile', body: 'now a file' }),
  directory('todirectory/'),
  entry({ name: 'todirectory/f', body: 'f' }),
  entry({ name: 'changed', body: 'high' }),
  entry({ name: 'first', body: 'linked'.repeat(1000) }),
  entry({ name: 'second', flag: '1', linkName: 'first' }),
  entry({ name: 'link', flag: '2', linkName: '/etc/passwd' }),
  entry({ name: 'fifo', flag: '6' }),
  entry({ name: 'null', flag: '3', major: 1, minor: 3 }),
  paxEntry({ 'SCHILY.xattr.user.note': 'kept', mtime: '1700000000.123456789' }, { name: 'noted', body: 'n' }),
  entry({ name: 'large', body: 'x'.repeat(300_000) }),
);

describeAsRoot('storage drivers', () => {
  /** What overlayfs shows, which is tried first: the others show the same. */
  let whole: readonly string[] = [];
  for (const { name, whyNot, make, place, program } of storageDrivers()) {
    if (whyNot !== '') {
      unless(test, whyNot)(`storage driver ${name}`, () => undefined);
      continue;
    }
    describe(name, () => {
      let disk: Place;
      let store: LayerStore;
      let driver: StoragePort;
      let layers: readonly Digest[];
      let stores = 0;
      const nextStore = (): LayerStore =>
        openStore(join(disk.path, `store-${(stores += 1)}`), { driver: make });
      const layoutOf = (of: LayerStore) =>
        createLayout({ root: of.paths.root, state: join(disk.path, 'state') });
      const filled = async (of: LayerStore): Promise<readonly Digest[]> => {
        for (const tar of [LOWER, UPPER]) await put(of, tar);
        return [LOWER, UPPER].map((tar) => digestOf(tar));
      };
      const mountsBelow = (path: string): string[] =>
        readFileSync('/proc/self/mountinfo', 'utf8')
          .split('\n')
          .map((line) => line.split(' ')[4] ?? '')
          .filter((point) => point.startsWith(`${path}/`));

      beforeAll(async () => {
        disk = place(`driver-${name}`);
        store = nextStore();
        driver = createStorageDriver({
          store,
          clock,
          measureAgeMs: 0,
          usernsPin: (id) => layoutOf(store).pin(id, 'user'),
        });
        layers = await filled(store);
      });
      afterAll(async () => {
        await store.settled();
        await store.driver.close?.();
        disk.remove();
      });

      test('stacked layers show whiteouts, opaque directories, hard links, modes, owners, xattrs and times as overlayfs does', async () => {
        const id = newId();
        await driver.mountRootfs({ id, layers }, context());
        const rootfs = layoutOf(store).rootfs(id);
        const tree = [`${lstatSync(rootfs).mode.toString(8)}`, ...treeOf(rootfs, { times: false })];
        if (name === 'overlay') whole = tree;
        expect(tree).toEqual(whole);
        expect(tree).toContain('fifo 10644 0:0');
        expect(lstatSync(join(rootfs, 'noted'), { bigint: true }).mtimeNs).toBe(1_700_000_000_123_456_789n);
        // a container's own changes
        writeFileSync(join(rootfs, 'etc/passwd'), 'mine');
        execFileSync('rm', ['-r', join(rootfs, 'todirectory')]);
        execFileSync('chown', ['5:6', join(rootfs, 'large')]);
        expect([
          readFileSync(join(rootfs, 'etc/passwd'), 'utf8'),
          existsSync(join(rootfs, 'todirectory')),
          lstatSync(join(rootfs, 'large')).uid,
        ]).toEqual(['mine', false, 5]);
        await driver.removeRootfs({ id, layers }, context());
        expect(mountsBelow(store.paths.containers)).toEqual([]);
      });

      test('an image as a volume is read-only, and is unmounted with its container', async () => {
        const id = newId();
        const image = `sha256:${'7'.repeat(64)}` as ImageId;
        const input = { id, layers, volumes: [{ id: image, layers }] };
        await driver.mountRootfs(input, context());
        const at = layoutOf(store).imageVolume(id, image);
        expect([`${lstatSync(at).mode.toString(8)}`, ...treeOf(at, { times: false })]).toEqual(whole);
        expect(() => writeFileSync(join(at, 'changed'), 'x')).toThrow(/EROFS/u);
        await driver.removeRootfs(input, context());
        expect(mountsBelow(store.paths.containers)).toEqual([]);
        expect(existsSync(layoutOf(store).storageDir(id))).toBe(false);
      });

      test('S52: in a user namespace the files belong to the pod, and what it writes belongs to it as well', async () => {
        const layout = layoutOf(store);
        const sandboxId = parseSandboxId(random.id()) ?? expect.fail('no sandbox id');
        mkdirSync(layout.state, { recursive: true });
        await preparePinRoot(layout.pinsDir);
        await pinNamespaces(
          {
            directory: layout.pinDir(sandboxId),
            net: false,
            ipc: false,
            uts: false,
            sysctls: [],
            user: { program: layout.usernsProgram, mappings },
          },
          clock,
        );
        try {
          const id = newId();
          await driver.mountRootfs({ id, layers, userNamespace: { sandboxId, mappings } }, context());
          const owner = (path: string): readonly number[] => [
            lstatSync(join(layout.rootfs(id), path)).uid,
            lstatSync(join(layout.rootfs(id), path)).gid,
          ];
          expect([owner(''), owner('etc/passwd'), owner('far')[0]]).toEqual([
            [70_000, 140_000],
            [70_000, 140_042],
            65_534,
          ]);
          execFileSync(
            'setpriv',
            [
              '--reuid=70000',
              '--regid=140000',
              '--clear-groups',
              'sh',
              '-c',
              'echo mine > etc/passwd && echo new > new',
            ],
            { cwd: layout.rootfs(id) },
          );
          expect([
            owner('etc/passwd'),
            owner('new'),
            readFileSync(join(layout.rootfs(id), 'etc/passwd'), 'utf8'),
          ]).toEqual([[70_000, 140_042], [70_000, 140_000], 'mine\n']);
          await driver.removeRootfs({ id, layers }, context());
        } finally {
          await unpinNamespaces(layout.pinDir(sandboxId));
          await stopKernelThread();
          await releasePinRoot(layout.pinsDir);
        }
      });

      test('I15: ImageFsInfo matches du to 1 %', async () => {
        const own = nextStore();
        const port = createStorageDriver({ store: own, clock, measureAgeMs: 0 });
        const bodies = Array.from({ length: 60 }, (_, at) =>
          entry({ name: `f${at}`, body: `${at} `.repeat(20_000 + at * 500) }),
        );
        const tar = archive(...bodies);
        await put(own, tar);
        const both = [...(await filled(own)), digestOf(tar)];
        const ids = [newId(), newId()];
        for (const id of ids) await port.mountRootfs({ id, layers: both }, context());
        writeFileSync(join(layoutOf(own).rootfs(ids[0] ?? newId()), 'written'), 'w'.repeat(3_000_000));
        for (const id of ids) await port.unmountRootfs({ id, layers: both }, context());
        await own.settled();
        execFileSync('sync', ['-f', own.paths.root]);
        const { images, containers } = await port.usage(context());
        await own.driver.close?.();
        const du = (...paths: string[]): number =>
          Number(
            execFileSync('du', ['-s', '-c', '--block-size=1', ...paths], { encoding: 'utf8' })
              .trim()
              .split('\n')
              .at(-1)
              ?.split('\t')[0],
          );
        const close = (reported: bigint, counted: number): void =>
          expect(Math.abs(Number(reported) / counted - 1)).toBeLessThan(0.01);
        close(images.usedBytes, du(own.paths.layers, own.paths.chains));
        close(containers.usedBytes, du(own.paths.containers));
        for (const id of ids) await port.removeRootfs({ id, layers: both }, context());
      });

      const onBtrfs = name === 'btrfs' ? test : undefined;
      onBtrfs?.(
        'I16: subvolumes that a container made in its root, also nested, are deleted with it',
        async () => {
          const id = newId();
          await driver.mountRootfs({ id, layers }, context());
          const btrfs = unpackedProgram('btrfs-progs', join(disk.path, 'bin'), 'bin/btrfs', 'usr/bin/btrfs');
          for (const path of ['one', 'etc/two', 'etc/two/three', 'etc/two/three/four'])
            execFileSync(btrfs, ['-q', 'subvolume', 'create', join(layoutOf(store).rootfs(id), path)]);
          await driver.removeRootfs({ id, layers }, context());
          expect(existsSync(layoutOf(store).storageDir(id))).toBe(false);
          expect(execFileSync(btrfs, ['subvolume', 'list', disk.path], { encoding: 'utf8' })).not.toMatch(
            /one|two|three|four/u,
          );
        },
      );

      const onErofs = name === 'erofs' ? unless(test, lacking(strace)) : undefined;
      onErofs?.(
        'F07: after a kill while a layer’s image is made the layer is whole, and its next pull fetches nothing',
        async () => {
          const own = nextStore();
          const file = join(disk.path, 'layer.tar');
          writeFileSync(file, UPPER);
          const diffId = digestOf(UPPER);
          const killed = [
            strace,
            '-f',
            '-qq',
            '-o',
            '/dev/null',
            '-e',
            'trace=renameat',
            '-e',
            'inject=renameat:signal=KILL:when=1',
          ];
          const ended = await run([
            ...killed,
            process.execPath,
            unpackOnce,
            own.paths.root,
            file,
            diffId,
            name,
            program,
          ]);
          expect(ended.stdout).toBe('');
          // image and files are there, and the record knows the files alone
          expect(readdirSync(join(own.paths.layers, diffId.slice(7)))).toEqual(
            expect.arrayContaining(['diff', 'layer.erofs', 'layer.json']),
          );
          await put(own, LOWER);
          await put(own, UPPER);
          const port = createStorageDriver({ store: own, clock });
          await port.removePartials(context());
          await own.settled();
          expect(readdirSync(join(own.paths.layers, diffId.slice(7))).toSorted()).toEqual([
            'diff',
            'layer.json',
          ]);
          const id = newId();
          await port.mountRootfs({ id, layers: [digestOf(LOWER), diffId] }, context());
          expect(treeOf(layoutOf(own).rootfs(id), { times: false })).toEqual(whole.slice(1));
          await port.removeRootfs({ id, layers: [] }, context());
          await own.driver.close?.();
        },
      );

      const calls: Readonly<Record<string, readonly (readonly [call: string, count: number])[]>> = {
        overlay: [
          ['mkdir', 1],
          ['chmod', 1],
          ['mount', 1],
        ],
        vfs: [
          ['mkdir', 3],
          ['mkdirat', 2],
          ['fchownat', 3],
          ['rename', 1],
          ['open_tree', 1],
          ['move_mount', 1],
        ],
        'fuse-overlayfs': [
          ['mkdir', 3],
          [ONCE_STARTED, 0],
        ],
        btrfs: [
          ['mkdirat', 2],
          ['fchownat', 3],
          ['syncfs', 1],
          ['rename', 1],
          ['ioctl', 6],
          ['open_tree', 1],
        ],
        erofs: [
          ['fsmount', 1],
          ['move_mount', 1],
        ],
      };
      unless(test, lacking(strace))(
        'F02: after a kill during a mount the next try succeeds, and removing the container leaves nothing',
        async () => {
          for (const [call, count] of calls[name] ?? []) {
            const point = `${call} ${count}`;
            const own = nextStore();
            const ids = await filled(own);
            const id = newId();
            // one that dies and goes, one that dies and is made again
            for (const isMadeAgain of [false, true]) {
              const killed = [
                strace,
                '-f',
                '-qq',
                '-o',
                '/dev/null',
                '-e',
                `trace=${call}`,
                '-e',
                `inject=${call}:signal=KILL:when=${count}`,
              ];
              // strace would go on with the program that it leaves
              const ended = await run([
                ...(call === ONCE_STARTED ? [] : killed),
                process.execPath,
                mountOnce,
                name,
                program,
                own.paths.root,
                id,
                ...ids,
              ]);
              expect([point, ended.stdout]).toEqual([point, '']);
              const port = createStorageDriver({ store: own, clock });
              await port.removePartials(context());
              await own.settled();
              if (isMadeAgain) {
                await port.mountRootfs({ id, layers: ids }, context());
                expect(treeOf(layoutOf(own).rootfs(id), { times: false }), point).toEqual(whole.slice(1));
              }
              await port.removeRootfs({ id, layers: ids }, context());
              if (isMadeAgain) for (const diffId of ids) await port.removeLayer({ diffId }, context());
            }
            await own.settled();
            const left = Object.entries(own.paths).flatMap(([what, path]) =>
              ['layers', 'partial', 'trash', 'containers', 'chains'].includes(what) ? readdirSync(path) : [],
            );
            expect([point, left, mountsBelow(own.paths.root)]).toEqual([point, [], []]);
          }
        },
      );
    });
  }
});
