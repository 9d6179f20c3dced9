// Programs of fuse-overlayfs that a killed daemon had not seen mount: the next one ends them before it reads mounts,
// and those that serve a root go on as if nothing had been.
import { chmodSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import type { StoragePort } from '../../../src/ports/storage.ts';
import { parseContainerId } from '../../../src/base/ids.ts';
import type { ContainerId } from '../../../src/base/ids.ts';
import { processIdentity } from '../../../src/host/process/process-identity.ts';
import { realRandom } from '../../../src/host/clock/random.ts';
import { createStorageDriver } from '../../../src/oci/images/store/driver.ts';
import type { RootfsDriver } from '../../../src/oci/images/store/drivers/rootfs-driver.ts';
import { rootfsPaths } from '../../../src/oci/images/store/records/layer-layout.ts';
import type { LayerStore } from '../../../src/oci/images/store/layer-store.ts';
import { gatedProgram, isRunning } from '../../support/gated-program.ts';
import { run } from '../../support/run.ts';
import { driverWith } from '../../support/storage-drivers-of.ts';
import { storageDrivers } from '../../support/storage-drivers.ts';
import { archive, digestOf, entry } from '../../unit/oci/layers/tar-builder.ts';
import { clock, context, describeAsRoot, openStore, put, scratch } from '../unpack/support.ts';
import { until } from '../../support/eventually.ts';
import { unless } from '../../support/skips/unless.ts';

const random = realRandom();
const mountOnce = join(import.meta.dirname, 'mount-once.ts');
const LAYER = archive(entry({ name: 'file', body: 'of the image' }));
const layers = [digestOf(LAYER)];
const newId = (): ContainerId =>
  parseContainerId(random.id()) ?? expect.fail('the random id is no container id');

describeAsRoot('programs of fuse-overlayfs through the death of the daemon', () => {
  const trial =
    storageDrivers().find(({ name }) => name === 'fuse-overlayfs') ?? expect.fail('there is no such driver');
  if (trial.whyNot !== '') {
    process.stdout.write(`skipped: programs of fuse-overlayfs: ${trial.whyNot}\n`);
    unless(test, trial.whyNot)('programs of fuse-overlayfs', () => undefined);
    return;
  }
  const root = scratch('fuse-starts');
  let stores = 0;
  /** A store, and what comes with each instance of a daemon on it. */
  const lives = (program: string) => {
    const path = join(root, `store-${(stores += 1)}`);
    const next = (
      change: (driver: RootfsDriver) => RootfsDriver = (driver) => driver,
    ): { readonly store: LayerStore; readonly port: StoragePort } => {
      const make = driverWith('fuse-overlayfs', program);
      const store = openStore(path, { driver: (host) => change(make(host)) });
      return { store, port: createStorageDriver({ store, clock }) };
    };
    return { path, next };
  };
  const mountsBelow = (path: string): string[] =>
    readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .map((line) => line.split(' ')[4] ?? '')
      .filter((point) => point.startsWith(`${path}/`));
  const noted = (store: LayerStore, id: ContainerId, name = 'rootfs'): number =>
    (
      JSON.parse(readFileSync(join(store.paths.containers, id, 'helpers', `${name}.json`), 'utf8')) as {
        readonly pid: number;
      }
    ).pid;

  test('F02: a program that had not mounted when its daemon was killed ends before the next daemon unmounts anything; the trash is empty', async () => {
    const late = gatedProgram(root, trial.program);
    onTestFinished(late.close);
    const { path, next } = lives(late.path);
    await put(next().store, LAYER);
    const id = newId();
    // dies once the program has been started
    const ended = await run([process.execPath, mountOnce, 'fuse-overlayfs', late.path, path, id, ...layers]);
    expect(ended.stdout).toBe('');
    const pid = await late.started();
    // it mounts at the worst moment: nothing was mounted on the root, and its directory is about to go
    const { store, port } = next((driver) => ({
      ...driver,
      unmounted: async (paths) => {
        late.open();
        await until(() => mountsBelow(path).length > 0 || !isRunning(pid));
        await driver.unmounted?.(paths);
      },
    }));
    expect((await port.observe(context())).rootfs).toEqual([{ id, mounted: false }]);
    await port.removeRootfs({ id, layers }, context());
    await store.settled();
    expect([
      isRunning(pid),
      mountsBelow(path),
      readdirSync(store.paths.containers),
      readdirSync(store.paths.containersTrash),
    ]).toEqual([false, [], [], []]);
  });

  test('F02: a program that has mounted without a note is ended with its mount, since no container used it', async () => {
    const { path, next } = lives(trial.program);
    const { store, port } = next();
    await put(store, LAYER);
    const id = newId();
    await port.mountRootfs({ id, layers }, context());
    const pid = noted(store, id);
    // as if the daemon had been killed a moment before
    rmSync(join(store.paths.containers, id, 'helpers/rootfs.json'));
    const { port: later } = next();
    expect((await later.observe(context())).rootfs).toEqual([{ id, mounted: false }]);
    expect([isRunning(pid), mountsBelow(path)]).toEqual([false, []]);
    await later.mountRootfs({ id, layers }, context());
    expect(readFileSync(join(rootfsPaths(store.paths, id).rootfs, 'file'), 'utf8')).toBe('of the image');
    await later.removeRootfs({ id, layers }, context());
    expect(mountsBelow(path)).toEqual([]);
  });

  test('programs that serve a root or a volume go on, also as the child of a script, and end with their container', async () => {
    const script = join(root, 'no-exec.sh');
    writeFileSync(script, `#!/bin/sh\n${trial.program} "$@"\nexit $?\n`);
    chmodSync(script, 0o755);
    for (const program of [trial.program, script]) {
      const { path, next } = lives(program);
      const { store, port } = next();
      await put(store, LAYER);
      const id = newId();
      const image = `sha256:${'7'.repeat(64)}` as never;
      const input = { id, layers, volumes: [{ id: image, layers }] };
      await port.mountRootfs(input, context());
      const { rootfs, volumes } = rootfsPaths(store.paths, id);
      const mounts = mountsBelow(path);
      expect(mounts).toHaveLength(2);
      writeFileSync(join(rootfs, 'file'), 'mine');
      const identities = ['rootfs', '7'.repeat(64)].map((name) => processIdentity(noted(store, id, name)));
      const { store: later, port: laterPort } = next();
      expect((await laterPort.observe(context())).rootfs).toEqual([{ id, mounted: true }]);
      await laterPort.removePartials(context());
      await later.settled();
      expect(mountsBelow(path)).toEqual(mounts);
      expect(identities.map((identity) => processIdentity(identity?.pid ?? 0))).toEqual(identities);
      expect([
        readFileSync(join(rootfs, 'file'), 'utf8'),
        readFileSync(join(volumes, '7'.repeat(64), 'file'), 'utf8'),
      ]).toEqual(['mine', 'of the image']);
      await laterPort.removeRootfs(input, context());
      await later.settled();
      expect([
        mountsBelow(path),
        identities.map((identity) => isRunning(identity?.pid ?? 0)),
        readdirSync(later.paths.containersTrash),
      ]).toEqual([[], [false, false], []]);
    }
  });

  test('F02: a mount in the trash does not keep it from being emptied', async () => {
    const { path, next } = lives(trial.program);
    const { store, port } = next();
    await put(store, LAYER);
    const [serving, dead] = [newId(), newId()];
    for (const id of [serving, dead]) await port.mountRootfs({ id, layers }, context());
    const pids = [serving, dead].map((id) => noted(store, id));
    process.kill(pids[1] ?? 0, 'SIGKILL');
    await until(() => !isRunning(pids[1] ?? 0));
    for (const id of [serving, dead])
      renameSync(join(store.paths.containers, id), join(store.paths.containersTrash, id));
    const { store: later, port: laterPort } = next();
    await laterPort.removePartials(context());
    await later.settled();
    expect([mountsBelow(path), pids.map(isRunning), readdirSync(later.paths.containersTrash)]).toEqual([
      [],
      [false, false],
      [],
    ]);
  });
});
