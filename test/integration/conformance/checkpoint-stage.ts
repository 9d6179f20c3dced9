/**
 * The stage of the checkpoints' suite with the real driver, runc and conmon, below a temporary root; CRIU's part is
 * played.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ContainerId, ImageId } from '../../../src/base/ids.ts';
import { realClock } from '../../../src/host/clock/clock.ts';
import type { CheckpointDriver } from '../../../src/oci/runtime/checkpoint/driver.ts';
import type { CheckpointStage } from '../../conformance/checkpoint-stage.ts';
import { created, fx } from '../../conformance/runtime-stage.ts';
import type { ContainerRequest } from '../../conformance/runtime-stage.ts';
import { fakeCriu } from '../daemon/fake-criu.ts';
import type { FakeCriu } from '../daemon/fake-criu.ts';
import { RUNC, World } from '../runtime/support.ts';
import { until } from '../../support/eventually.ts';

const IMAGE = `sha256:${'1'.repeat(64)}` as ImageId;

/** A driver whose runtime is the fake, opened, and its checkpoints. */
async function openDriver(
  world: World,
  fake: FakeCriu,
  upperOf: (id: ContainerId) => string,
): Promise<CheckpointDriver> {
  world.driver = world.newDriver({ handlers: [{ name: 'runc', path: fake.runtime, kind: 'oci' as const }] });
  await world.driver.open();
  const port = world.driver.checkpoints({
    criu: { path: fake.criu },
    restores: true,
    upperOf,
    layerOf: (diffId) => join(world.root, diffId),
  });
  await port.open();
  return port;
}

/** Makes it; the sandbox has its cgroup. */
export async function realCheckpointStage(): Promise<CheckpointStage> {
  const fake = fakeCriu();
  const world = new World();
  world.driver.close();
  const { layout } = world;
  const upperOf = (id: ContainerId): string => join(world.root, 'uppers', id);
  await world.open();
  world.driver.close();
  let port = await openDriver(world, fake, upperOf);
  const requests: ContainerRequest[] = [];
  const container = (): ContainerRequest => {
    const { id, bundle, effective } = world.container(['sleep', '1000']);
    cpSync(world.rootfs, layout.rootfs(id), { recursive: true });
    mkdirSync(upperOf(id), { recursive: true });
    const request = { ...bundle, effective };
    requests.push(request);
    return request;
  };
  return {
    get port() {
      return port;
    },
    get runtime() {
      return world.driver;
    },
    restart: async () => {
      world.driver.close();
      port = await openDriver(world, fake, upperOf);
    },
    running: async () => {
      const one = await created({ port: world.driver }, container());
      await world.driver.start(one, fx);
      return one;
    },
    container,
    described: ({ id, handler, spec }, archive) => ({
      id,
      handler,
      spec,
      archive,
      logPath: '',
      createdAtNs: 1n,
      image: { id: IMAGE, ref: IMAGE, layers: [] },
    }),
    newDirectory: () => mkdtempSync(join(world.root, 'archives-')),
    namesIn,
    plant: (path) => writeFileSync(path, 'something else'),
    isStill: ({ id }) => stateOf(layout.runtimeRoot('runc'), id) === 'paused',
    hasImages: ({ id }) => existsSync(join(layout.restoreDir(id), 'checkpoint')),
    works: () => namesIn(layout.checkpointsDir).length,
    reported: (id) => world.exits.get(id) ?? [],
    until: async (poll) => void (await until(poll)),
    spoil: (how) => fake.does(how === 'hangs' ? 'hang' : 'fail'),
    heal: () => fake.does('work'),
    whenHanging: (act) => void fake.untilItHangs().then(act),
    nowNs: () => realClock().nowNs(),
    close: () => closeAll(world, fake, requests),
  };
}

/** With the images of those that were to be restored. */
async function closeAll(world: World, fake: FakeCriu, requests: readonly ContainerRequest[]): Promise<void> {
  const { restoresDir, checkpointsDir } = world.layout;
  fake.does('work');
  for (const request of requests)
    await world.driver.destroy(
      { ...request, spec: { ...request.spec, restore: { from: { archive: '/' }, digest: '' } } },
      fx,
    );
  const left = [...namesIn(restoresDir), ...namesIn(checkpointsDir), ...(await world.close())];
  fake.remove();
  if (left.length > 0) throw new Error(`left: ${left.join(', ')}`);
}

const namesIn = (directory: string): readonly string[] =>
  existsSync(directory) ? readdirSync(directory).toSorted() : [];

/** Undefined where the runtime knows none. */
function stateOf(root: string, id: string): string | undefined {
  if (!existsSync(join(root, id))) return undefined;
  return (
    JSON.parse(execFileSync(RUNC, ['--root', root, 'state', id]).toString()) as { readonly status: string }
  ).status;
}
