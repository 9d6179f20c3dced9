// A stop that arrives while a checkpoint reads the container.
import { describe, expect, it } from 'vitest';
import type { ContainerId, SandboxId } from '../../../src/base/ids.ts';
import { actorLimits } from '../../../src/actors/bounds.ts';
import { turns } from '../../support/turns.ts';
import { EasyWorld } from './easy-ports.ts';
import { containerSpec, exit as exitFact, ofKind, sandboxSpec } from './fixtures.ts';

/** Later than every start on the test's clock. */
const exit = { ...exitFact, finishedAtNs: 10n ** 15n };

async function running() {
  const world = await EasyWorld.serving();
  const { troupe } = world;
  const sandboxId = await troupe.runSandbox(sandboxSpec(), world.call());
  const start = async (name: string): Promise<ContainerId> => {
    const id = await troupe.createContainer(
      containerSpec({ key: { sandboxId, name, attempt: 0 } }),
      world.call(),
    );
    await troupe.startContainer(id, world.call());
    return id;
  };
  const pathOf = (id: ContainerId): string | undefined => troupe.directory.container(id)?.path;
  return { world, troupe, sandboxId, start, pathOf, id: await start('nginx') };
}

/** The pod's checkpoint, or the fault that ends it. */
function checkpointOf(world: EasyWorld, sandboxId: SandboxId, ids: readonly ContainerId[]): Promise<unknown> {
  return world.troupe
    .checkpointSandbox(
      sandboxId,
      { directory: '/c', wanted: ids.map((id) => ({ id, archive: `/c/${id}.tar` })) },
      world.call(),
    )
    .catch((thrown: unknown) => thrown);
}

describe('StopContainer during a checkpoint', () => {
  it('F33: aborts it, and its signal waits until the container is thawed: memory and files are of one moment', async () => {
    const { world, troupe, sandboxId, id, start, pathOf } = await running();
    const other = await start('second');
    world.hold('checkpoints.read');
    const thaw = world.hold('checkpoints.thaw');
    // an archive on a file system that does not answer
    const drop = world.hold('checkpoints.drop');
    const cut = checkpointOf(world, sandboxId, [id, other]);
    await turns();
    expect([pathOf(id), world.count('checkpoints.read')]).toEqual(['running', 1]);
    const stopped = troupe.stopContainer(id, 60_000, world.call());
    await turns();
    expect([pathOf(id), world.count('checkpoints.thaw'), world.count('runtime.kill')]).toEqual([
      'thawing',
      1,
      0,
    ]);
    await thaw();
    expect([world.count('runtime.kill'), pathOf(other)]).toEqual([1, 'running']);
    world.exits(id, exit);
    await stopped;
    await drop();
    expect(await cut).toEqual(ofKind('cancelled'));
  });

  it('F33 F45: a thaw that hangs does not hold the signal for good', async () => {
    const { world, troupe, sandboxId, id } = await running();
    world.hold('checkpoints.read');
    world.hold('checkpoints.thaw');
    void checkpointOf(world, sandboxId, [id]);
    await turns();
    const stopped = troupe.stopContainer(id, 60_000, world.call());
    await world.clock.advance(actorLimits.checkpointThawMs - 1);
    expect(world.count('runtime.kill')).toBe(0);
    await world.clock.advance(1);
    expect(world.count('runtime.kill')).toBe(1);
    world.exits(id, exit);
    await stopped;
  });

  it('kills at once without a grace period, also when the grace period is taken back while the signal waits', async () => {
    const { world, troupe, sandboxId, id, start, pathOf } = await running();
    const other = await start('second');
    world.hold('checkpoints.read');
    world.hold('checkpoints.thaw');
    void checkpointOf(world, sandboxId, [id, other]);
    await turns();
    const patient = troupe.stopContainer(other, 60_000, world.call());
    const stopped = [id, other].map((one) => troupe.stopContainer(one, 0, world.call()));
    await turns();
    expect([world.count('runtime.kill'), world.count('runtime.killAll')]).toEqual([0, 2]);
    expect([pathOf(id), pathOf(other)]).toEqual(['stopping.killed', 'stopping.killed']);
    for (const one of [id, other]) world.exits(one, exit);
    await Promise.all([patient, ...stopped]);
  });

  it('waits for no checkpoint that has read the container, and for each that has not', async () => {
    const { world, troupe, sandboxId, id, pathOf } = await running();
    world.hold('checkpoints.pack');
    void checkpointOf(world, sandboxId, [id]);
    await turns();
    const read = world.hold('checkpoints.read');
    const thaw = world.hold('checkpoints.thaw');
    void checkpointOf(world, sandboxId, [id]);
    await turns();
    const stopped = troupe.stopContainer(id, 60_000, world.call());
    await turns();
    expect(pathOf(id)).toBe('thawing');
    await read();
    await thaw();
    expect(world.count('runtime.kill')).toBe(1);
    world.exits(id, exit);
    await stopped;
  });

  it('holds the signal also after an update that was under way when the checkpoint began', async () => {
    const { world, troupe, sandboxId, id, pathOf } = await running();
    const apply = world.hold('runtime.update');
    const updated = troupe.updateContainer(id, { ...containerSpec().resources, cpuShares: 7n }, world.call());
    await turns();
    world.hold('checkpoints.read');
    const thaw = world.hold('checkpoints.thaw');
    void checkpointOf(world, sandboxId, [id]);
    await turns();
    expect(pathOf(id)).toBe('updating.applying');
    await apply();
    await updated;
    const stopped = troupe.stopContainer(id, 60_000, world.call());
    await turns();
    expect([pathOf(id), world.count('runtime.kill')]).toEqual(['thawing', 0]);
    await thaw();
    expect(world.count('runtime.kill')).toBe(1);
    world.exits(id, exit);
    await stopped;
  });

  it.each(['stop', 'removal'] as const)(
    'kills at once for a %s without a grace period that arrives during an update, while a thaw hangs',
    async (how) => {
      const { world, troupe, sandboxId, id, pathOf } = await running();
      world.hold('checkpoints.read');
      world.hold('checkpoints.thaw');
      void checkpointOf(world, sandboxId, [id]);
      await turns();
      const apply = world.hold('runtime.update');
      const update = { ...containerSpec().resources, cpuShares: 7n };
      void troupe.updateContainer(id, update, world.call()).catch(() => undefined);
      await turns();
      expect(pathOf(id)).toBe('updating.applying');
      const ended =
        how === 'stop' ? troupe.stopContainer(id, 0, world.call()) : troupe.removeContainer(id, world.call());
      await turns();
      await apply();
      await turns();
      expect([world.count('runtime.kill'), world.count('runtime.killAll')]).toEqual([0, 1]);
      world.exits(id, exit);
      await ended;
    },
  );

  it('waits for a thaw no longer than its grace period', async () => {
    const { world, troupe, sandboxId, id } = await running();
    world.hold('checkpoints.read');
    world.hold('checkpoints.thaw');
    void checkpointOf(world, sandboxId, [id]);
    await turns();
    const stopped = troupe.stopContainer(id, 1000, world.call());
    await world.clock.advance(999);
    expect(world.count('runtime.kill')).toBe(0);
    await world.clock.advance(1);
    expect(world.count('runtime.kill')).toBe(1);
    world.exits(id, exit);
    await stopped;
  });
});
