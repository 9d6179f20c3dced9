import { execFileSync } from 'node:child_process';
import { existsSync, lstatSync, mkdirSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { RootfsInput, StoragePort } from '../../../src/ports/storage.ts';
import { parseContainerId, parseSandboxId } from '../../../src/base/ids.ts';
import type { Digest, ImageId } from '../../../src/base/ids.ts';
import { createLayout } from '../../../src/host/sandbox/layout.ts';
import { parseMountInfo } from '../../../src/host/mounts/mountinfo.ts';
import { attachMount } from '../../../src/host/mounts/mounts.ts';
import { mountOverlay } from '../../../src/host/mounts/overlay.ts';
import { stopKernelThread } from '../../../src/host/kernel-thread/kernel-thread.ts';
import {
  pinNamespaces,
  preparePinRoot,
  releasePinRoot,
  unpinNamespaces,
} from '../../../src/host/namespaces/namespaces.ts';
import { realRandom } from '../../../src/host/clock/random.ts';
import { idmappedTree } from '../../../src/host/mounts/userns-idmap.ts';
import type { LayerStore } from '../../../src/oci/images/store/layer-store.ts';
import { createStorageDriver } from '../../../src/oci/images/store/driver.ts';
import { withAttachedTrees } from '../../../src/oci/images/store/drivers/mapped-layers.ts';
import { rootfsPaths } from '../../../src/oci/images/store/records/layer-layout.ts';
import { archive, digestOf, entry } from '../../unit/oci/layers/tar-builder.ts';
import { clock, context, describeAsRoot, openStore, put, scratch } from '../unpack/support.ts';

const random = realRandom();
const mappings = {
  uids: { containerId: 0, hostId: 70_000, length: 65_536 },
  gids: { containerId: 0, hostId: 140_000, length: 65_536 },
};

describeAsRoot('root file systems of pods with a user namespace', () => {
  const root = scratch('userns-rootfs');
  const layout = createLayout({ root: join(root, 'store'), state: join(root, 'state') });
  const sandboxId = parseSandboxId(random.id()) ?? fail();
  let store: LayerStore;
  let driver: StoragePort;
  let layers: readonly Digest[];

  beforeAll(async () => {
    store = openStore(layout.root);
    driver = createStorageDriver({
      store,
      clock,
      measureAgeMs: 0,
      usernsPin: (id) => layout.pin(id, 'user'),
    });
    mkdirSync(layout.state);
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
    layers = [
      await layer(
        entry({ name: 'etc/passwd', body: 'root', uid: 0, gid: 42 }),
        entry({ name: 'gone', uid: 9 }),
        entry({ name: 'far', uid: 100_000 }),
      ),
      await layer(
        entry({ name: './', flag: '5', mode: 0o750, uid: 7, gid: 8 }),
        entry({ name: '.wh.gone' }),
        entry({ name: 'top', uid: 65_535 }),
      ),
    ];
  });
  afterAll(async () => {
    await unpinNamespaces(layout.pinDir(sandboxId));
    await stopKernelThread();
    await releasePinRoot(layout.pinsDir);
    expect(mountsBelow()).toEqual([]);
  });

  async function layer(...parts: Buffer[]): Promise<Digest> {
    const tar = archive(...parts);
    await put(store, tar);
    return digestOf(tar);
  }

  const input = (of: readonly Digest[] = layers): RootfsInput => ({
    id: parseContainerId(random.id()) ?? fail(),
    layers: of,
    userNamespace: { sandboxId, mappings },
  });
  const mountsBelow = (): string[] =>
    parseMountInfo(readFileSync('/proc/self/mountinfo', 'utf8'))
      .map(({ mountPoint }) => mountPoint)
      .filter((path) => path.startsWith(`${root}/`));
  const ownerOf = (path: string): readonly [number, number] => {
    const { uid, gid } = lstatSync(path);
    return [uid, gid];
  };

  function expectMapped(rootfs: string): void {
    expect([ownerOf(rootfs), lstatSync(rootfs).mode & 0o7777]).toEqual([[70_007, 140_008], 0o750]);
    expect(ownerOf(join(rootfs, 'etc'))).toEqual([70_000, 140_000]);
    expect(ownerOf(join(rootfs, 'etc/passwd'))).toEqual([70_000, 140_042]);
    expect(ownerOf(join(rootfs, 'top'))[0]).toBe(135_535);
    // nobody: no id of the pod's
    expect(ownerOf(join(rootfs, 'far'))[0]).toBe(65_534);
    expect(existsSync(join(rootfs, 'gone'))).toBe(false);
  }

  test('S52: what the image has belongs to the pod and is unchanged on disk; a changed file is copied with its new owner', async () => {
    const one = input();
    await driver.mountRootfs(one, context());
    const rootfs = layout.rootfs(one.id);
    expectMapped(rootfs);
    // the container sees this line, and Kubernetes' e2e of /proc mounts counts those that name it
    const table = readFileSync('/proc/self/mounts', 'utf8')
      .split('\n')
      .filter((line) => line.includes(` ${rootfs} `));
    expect(table).toHaveLength(1);
    expect(table[0]).not.toContain('/proc');
    writeFileSync(join(rootfs, 'etc/passwd'), 'changed');
    expect(ownerOf(join(layout.storageDir(one.id), 'upper/etc/passwd'))).toEqual([70_000, 140_042]);
    const other = { id: parseContainerId(random.id()) ?? fail(), layers };
    await driver.mountRootfs(other, context());
    expect([
      readFileSync(join(layout.rootfs(other.id), 'etc/passwd'), 'utf8'),
      ownerOf(join(layout.rootfs(other.id), 'etc/passwd')),
    ]).toEqual(['root', [0, 42]]);
    for (const { id } of [one, other]) await driver.removeRootfs({ id, layers }, context());
    expect(existsSync(layout.storageDir(one.id))).toBe(false);
  });

  /** That of the next daemon. */
  const nextDriver = () =>
    createStorageDriver({
      store: openStore(layout.root),
      clock,
      usernsPin: (id) => layout.pin(id, 'user'),
    });

  test('S19: the path is open to the root of that user namespace, and only where it must be', async () => {
    const one = input();
    await driver.mountRootfs(one, context());
    const mode = (path: string): number => lstatSync(path).mode & 0o7777;
    expect([
      mode(store.paths.containers),
      mode(layout.storageDir(one.id)),
      ownerOf(layout.storageDir(one.id)),
    ]).toEqual([0o711, 0o710, [0, 140_000]]);
    expect(mode(join(layout.storageDir(one.id), 'work')) & 0o022).toBe(0);
    for (const closed of [store.paths.layers, store.paths.partial, store.paths.trash])
      expect(mode(closed)).toBe(0o700);
    // a daemon that starts closes it, and opens it again when it is needed
    await nextDriver().mountRootfs(one, context());
    expect(mode(store.paths.containers)).toBe(0o711);
    await driver.removeRootfs(one, context());
  });

  test('S52: an image as a volume belongs to the pod, cannot be written, and can be mounted again after a crash', async () => {
    const volume = { id: `sha256:${'7'.repeat(64)}` as ImageId, layers };
    const one = { ...input(), volumes: [volume] };
    const place = layout.imageVolume(one.id, volume.id);
    await driver.mountRootfs(one, context());
    expectMapped(place);
    expect(() => writeFileSync(join(place, 'etc/passwd'), 'changed')).toThrow('EROFS');
    // what a daemon that died between the two mounts leaves
    execFileSync('umount', [place]);
    await driver.mountRootfs(one, context());
    expectMapped(place);
    expectMapped(layout.rootfs(one.id));
    await driver.unmountRootfs(one, context());
    expect(mountsBelow().filter((path) => path.includes(one.id))).toEqual([]);
    await driver.removeRootfs(one, context());
  });

  test('S56: no layers give an empty root of the pod', async () => {
    const one = input([]);
    await driver.mountRootfs(one, context());
    expect(ownerOf(layout.rootfs(one.id))).toEqual([70_000, 140_000]);
    await driver.removeRootfs(one, context());
  });

  test('on Linux before 6.15 the layers are mounted at a temporary path', async () => {
    const one = input();
    await driver.mountRootfs(one, context());
    await driver.unmountRootfs(one, context());
    const paths = rootfsPaths(store.paths, one.id);
    const [lowest, top] = layers.map((digest) => digest.slice('sha256:'.length));
    const pin = layout.pin(sandboxId, 'user');
    await withAttachedTrees([store.paths.layers], paths, pin, async (mapped) => {
      const at = mapped.get(store.paths.layers) ?? '';
      expect([at, mountsBelow().includes(at)]).toEqual([join(paths.lower, '0'), true]);
      expect(() => unlinkSync(join(at, top ?? '', 'layer.json'))).toThrow('EROFS');
      await mountOverlay({
        target: paths.rootfs,
        lower: [`${at}/${top}/diff`, `${at}/${lowest}/diff`],
        source: 'overlay',
      });
    });
    expect(mountsBelow().filter((path) => path.startsWith(paths.lower))).toEqual([]);
    expect(ownerOf(join(paths.rootfs, 'etc/passwd'))).toEqual([70_000, 140_042]);
    const failed = withAttachedTrees([store.paths.layers], paths, pin, () =>
      Promise.reject(new Error('refused')),
    );
    await expect(failed).rejects.toThrow('refused');
    expect(mountsBelow().filter((path) => path.startsWith(paths.lower))).toEqual([]);
    // killed within that moment, twice: what is removed then are the mounts, not the layers
    for (let deaths = 0; deaths < 2; deaths += 1)
      await attachMount(await idmappedTree(store.paths.layers, pin), 'attach', join(paths.lower, '0'));
    await nextDriver().removeRootfs(one, context());
    expect(mountsBelow().filter((path) => path.startsWith(paths.lower))).toEqual([]);
    expect(existsSync(join(store.paths.layers, top ?? '', 'diff/top'))).toBe(true);
  });

  test('a root directory whose owner is not mapped is refused, and leaves no mount', async () => {
    const far = await layer(entry({ name: './', flag: '5', uid: 65_536 }));
    const one = input([far]);
    await expect(driver.mountRootfs(one, context())).rejects.toMatchObject({
      fault: { kind: 'unsupported', message: expect.stringContaining('has the owner 65536') as string },
    });
    expect(mountsBelow()).not.toContain(layout.rootfs(one.id));
    await driver.removeRootfs(one, context());
  });

  test('without its pin the root file system is refused', async () => {
    const one = { ...input(), userNamespace: { sandboxId: parseSandboxId(random.id()) ?? fail(), mappings } };
    await expect(driver.mountRootfs(one, context())).rejects.toMatchObject({ code: 'ENOENT' });
    await driver.removeRootfs(one, context());
  });
});

function fail(): never {
  throw new Error('the random id is no id');
}
