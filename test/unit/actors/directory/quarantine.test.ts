// Stop and Remove of what is quarantined: the sweep path, after which a client must see what it asked for.
import { describe, expect, it } from 'vitest';
import type { SandboxView, ContainerView } from '../../../../src/actors/directory/views.ts';
import { turns } from '../../../support/turns.ts';
import { EasyWorld } from '../easy-ports.ts';
import { containerSpec, sandboxSpec } from '../fixtures.ts';

/** As the supervisor leaves one that has crashed too often. */
function quarantine(world: EasyWorld, view: SandboxView | ContainerView | undefined): void {
  const ref = view === undefined ? undefined : world.troupe.directory.ref(view.address);
  if (view === undefined || ref === undefined) throw new Error('there is nothing to quarantine');
  world.troupe.directory.put({ ...view, state: 'quarantined', path: 'quarantined', settled: true }, ref);
}

async function podOf(world: EasyWorld) {
  const sandbox = await world.troupe.runSandbox(sandboxSpec(), world.call());
  const id = await world.troupe.createContainer(
    containerSpec({ key: { sandboxId: sandbox, name: 'nginx', attempt: 0 } }),
    world.call(),
  );
  await world.troupe.startContainer(id, world.call());
  world.asked.length = 0;
  return { sandbox, id };
}

describe('quarantined actors (F16)', () => {
  it('a stopped container is listed and recorded as ended, since a kubelet would stop a running one for ever', async () => {
    const world = await EasyWorld.serving();
    const { id } = await podOf(world);
    quarantine(world, world.troupe.directory.container(id));
    await world.troupe.stopContainer(id, 0, world.call());
    expect(world.asked).toEqual(['runtime.killAll', 'runtime.readExit', 'journal container.exited']);
    expect(world.troupe.directory.container(id)).toMatchObject({
      state: 'quarantined',
      listed: true,
      criState: 'exited',
      exit: { exitCode: 255, reason: 'Unknown' },
    });
    await world.troupe.stopContainer(id, 0, world.call());
    expect(world.count('journal container.exited')).toBe(1);
    await world.troupe.removeContainer(id, world.call());
    expect(world.troupe.directory.container(id)).toBeUndefined();
    expect(world.ledger.containers.size).toBe(0);
  });

  it('a stopped sandbox is no longer ready, and its containers have ended', async () => {
    const world = await EasyWorld.serving();
    const { sandbox, id } = await podOf(world);
    quarantine(world, world.troupe.directory.container(id));
    quarantine(world, world.troupe.directory.sandbox(sandbox));
    await world.troupe.stopSandbox(sandbox, world.call());
    expect(world.troupe.directory.container(id)?.criState).toBe('exited');
    expect(world.troupe.directory.sandbox(sandbox)).toMatchObject({ listed: true, ready: false });
    expect(world.asked.indexOf('runtime.killAll')).toBeLessThan(world.asked.indexOf('network.del'));
  });

  it('F21 F25 a sandbox whose stop the disk refuses to record has its pause process ended, and nothing else undone', async () => {
    const world = await EasyWorld.serving();
    const sandbox = await world.troupe.runSandbox(sandboxSpec(), world.call());
    quarantine(world, world.troupe.directory.sandbox(sandbox));
    world.fail('journal sandbox.stopping');
    await expect(world.troupe.stopSandbox(sandbox, world.call())).rejects.toThrow('refused');
    expect([world.count('runtime.destroyPause'), world.count('network.del')]).toEqual([1, 0]);
    world.fix('journal sandbox.stopping');
    await world.troupe.stopSandbox(sandbox, world.call());
    expect([world.count('network.del'), world.troupe.directory.sandbox(sandbox)?.ready]).toEqual([1, false]);
  });

  it('I13 whoever waits for the removal of a sandbox is answered when that is quarantined', async () => {
    const world = await EasyWorld.serving();
    const sandbox = await world.troupe.runSandbox(sandboxSpec(), world.call());
    const go = world.hold('journal sandbox.stopping');
    const removed = world.troupe.removeSandbox(sandbox, world.call()).catch((thrown: unknown) => thrown);
    await turns();
    const next = world.troupe.runSandbox(sandboxSpec(), world.call());
    await turns();
    const view = world.troupe.directory.sandbox(sandbox);
    quarantine(world, view === undefined ? undefined : { ...view, ready: false });
    await expect(next).rejects.toThrow(`sandbox ${sandbox} has this name`);
    expect(await removed).toMatchObject({ message: expect.stringContaining('quarantined') as string });
    await go();
  });

  it('a removed sandbox removes its containers', async () => {
    const world = await EasyWorld.serving();
    const { sandbox, id } = await podOf(world);
    quarantine(world, world.troupe.directory.container(id));
    quarantine(world, world.troupe.directory.sandbox(sandbox));
    await world.troupe.removeSandbox(sandbox, world.call());
    expect([...world.ledger.sandboxes.keys(), ...world.ledger.containers.keys()]).toEqual([]);
    expect([...world.troupe.directory.sandboxes(), ...world.troupe.directory.containers()]).toEqual([]);
  });
});
