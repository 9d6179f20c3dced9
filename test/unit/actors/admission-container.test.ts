// Which calls for a container join, wait or are refused (docs/architecture.md, "Flows"), on the whole cast over a world
// where all works.
import { describe, expect, it } from 'vitest';
import { actorLimits } from '../../../src/actors/bounds.ts';
import type { ContainerSpec } from '../../../src/ports/specs.ts';
import { EasyWorld } from './easy-ports.ts';
import { turns } from '../../support/turns.ts';
import { containerSpec, exit as exitFact, ofKind, sandboxSpec } from './fixtures.ts';

/** Later than every start on the test's clock. */
const exit = { ...exitFact, finishedAtNs: 10n ** 15n };

async function withSandbox() {
  const world = await EasyWorld.serving();
  const sandboxId = await world.troupe.runSandbox(sandboxSpec(), world.call());
  const spec = (part: Partial<ContainerSpec> = {}): ContainerSpec =>
    containerSpec({ key: { sandboxId, name: 'nginx', attempt: 0 }, ...part });
  world.asked.length = 0;
  return { world, sandboxId, spec, troupe: world.troupe };
}

const retried = (spec: ContainerSpec): Partial<ContainerSpec> => ({
  annotations: { tried: 'again' },
  mounts: spec.mounts.map((mount) =>
    mount.containerPath === '/dev/termination-log'
      ? { ...mount, hostPath: '/pods/u1/containers/nginx/other' }
      : mount,
  ),
});

describe('CreateContainer', () => {
  it('is joined by a kubelet’s retry with another termination log and annotation', async () => {
    const { world, spec, troupe } = await withSandbox();
    const go = world.hold('runtime.create');
    const first = troupe.createContainer(spec(), world.call());
    await turns();
    const second = troupe.createContainer(spec(retried(spec())), world.call());
    await turns();
    await go();
    expect(await second).toBe(await first);
    expect(world.count('runtime.create')).toBe(1);
    expect(await troupe.createContainer(spec({ command: ['other'] }), world.call())).toBe(await first);
  });

  it('with a different request while it is made: the first is undone, then the new one is made', async () => {
    const { world, spec, troupe } = await withSandbox();
    const go = world.hold('runtime.create');
    const first = troupe.createContainer(spec(), world.call()).catch((thrown: unknown) => thrown);
    await turns();
    const second = troupe.createContainer(spec({ command: ['other'] }), world.call());
    await turns();
    await go();
    const id = await second;
    expect(await first).toEqual(ofKind('superseded'));
    expect(troupe.directory.containers().map((view) => view.id)).toEqual([id]);
    expect(world.asked.slice(0, world.asked.indexOf('journal container.removed')).slice(-2)).toEqual([
      'runtime.destroy',
      'storage.removeRootfs',
    ]);
  });

  it('I7: an id that is just being returned is not undone by a higher attempt (sim seed 12901)', async () => {
    const { world, spec, troupe } = await withSandbox();
    const go = world.hold('runtime.create');
    const lower = troupe.createContainer(spec(), world.call());
    await turns();
    const [view] = troupe.directory.containers();
    if (view === undefined) throw new Error('no container');
    let higher: Promise<string> | undefined;
    troupe.directory.listen(view.address, (now) => {
      if (now.state === 'created')
        higher ??= troupe.createContainer(spec({ key: { ...spec().key, attempt: 1 } }), world.call());
    });
    await go();
    const ids = [await lower, await higher];
    expect(troupe.directory.containers().map(({ id, state, listed }) => ({ id, state, listed }))).toEqual(
      ids.map((id) => ({ id, state: 'created', listed: true })),
    );
  });

  it('I13 F37 of one that exited before its start gets the id again, also while its exit is recorded at last', async () => {
    const { world, spec, troupe } = await withSandbox();
    const id = await troupe.createContainer(spec(), world.call());
    world.fail('journal container.exited');
    world.exits(id, exit);
    await turns();
    expect(await troupe.createContainer(spec(), world.call())).toBe(id);
    world.fix('journal container.exited');
    const go = world.hold('journal container.exited');
    await world.clock.advance(actorLimits.janitorMs);
    expect(troupe.directory.container(id)).toMatchObject({ state: 'recordingExit' });
    // as before its exit: limits may have been changed since its creation, of which a repeated call knows nothing
    const other = troupe.createContainer(spec({ command: ['other'] }), world.call());
    await turns();
    await go();
    expect(await other).toBe(id);
  });

  it('of the name of a started container is AlreadyExists, with id and state', async () => {
    const { world, spec, troupe } = await withSandbox();
    const id = await troupe.createContainer(spec(), world.call());
    await troupe.startContainer(id, world.call());
    await expect(troupe.createContainer(spec(), world.call())).rejects.toMatchObject({
      fault: { kind: 'conflict', subject: id, message: expect.stringContaining('is running') as string },
    });
    expect(await troupe.createContainer(spec({ key: { ...spec().key, attempt: 1 } }), world.call())).not.toBe(
      id,
    );
  });

  it('an unclaimed container is not listed, and is undone after two minutes', async () => {
    const { world, spec, troupe } = await withSandbox();
    const controller = new AbortController();
    const go = world.hold('runtime.create');
    const call = expect(
      troupe.createContainer(spec(), world.call(undefined, controller.signal)),
    ).rejects.toThrow(ofKind('cancelled'));
    await turns();
    controller.abort();
    await call;
    await go();
    expect(troupe.directory.containers()).toMatchObject([
      { state: 'created', claimed: false, listed: false },
    ]);
    await world.clock.advance(actorLimits.unclaimedMs + 2 * actorLimits.janitorMs);
    expect(troupe.directory.containers()).toEqual([]);
    expect(world.count('journal container.removed')).toBe(1);
    // its record was taken back before anything was undone
    expect(world.count('journal container.intent')).toBe(2);
  });

  it.each([
    ['sandbox', 'notFound'],
    ['image', 'notFound'],
  ])('without its %s is %s', async (what, kind) => {
    const { world, spec, troupe, sandboxId } = await withSandbox();
    if (what === 'sandbox') await troupe.removeSandbox(sandboxId, world.call());
    else world.ledger.images.clear();
    await expect(troupe.createContainer(spec(), world.call())).rejects.toThrow(ofKind(kind));
  });
});

describe('StopContainer and RemoveContainer', () => {
  async function running() {
    const bench = await withSandbox();
    const id = await bench.troupe.createContainer(bench.spec(), bench.world.call());
    await bench.troupe.startContainer(id, bench.world.call());
    bench.world.asked.length = 0;
    return { ...bench, id };
  }

  it('sends the stop signal, waits for the grace, kills; a shorter grace shortens it', async () => {
    const { world, troupe, id } = await running();
    const long = troupe.stopContainer(id, 60_000, world.call());
    await turns();
    expect(world.asked).toEqual(['journal container.stopping', 'runtime.kill']);
    const short = troupe.stopContainer(id, 5000, world.call());
    await turns();
    await world.clock.advance(4999);
    expect(world.count('runtime.killAll')).toBe(0);
    await world.clock.advance(1);
    expect(world.count('runtime.killAll')).toBe(1);
    world.exits(id, exit);
    await Promise.all([long, short]);
    expect(troupe.directory.container(id)).toMatchObject({ criState: 'exited', exit });
  });

  it('the exit is visible only after its record, and the exit file goes last', async () => {
    const { world, troupe, id } = await running();
    const go = world.hold('journal container.exited');
    world.exits(id, exit);
    await turns();
    expect(troupe.directory.container(id)).toMatchObject({ criState: 'running', exit: undefined });
    await go();
    expect(troupe.directory.container(id)).toMatchObject({ criState: 'exited', exit });
    expect(world.asked.indexOf('runtime.forgetExit')).toBeGreaterThan(
      world.asked.indexOf('journal container.exited'),
    );
  });

  it('I13: succeed for unknown ids, and a second exit changes nothing', async () => {
    const { world, troupe, id } = await running();
    world.exits(id, exit);
    await turns();
    world.exits(id, { ...exit, exitCode: 99 });
    await troupe.stopContainer(id, 1000, world.call());
    expect(troupe.directory.container(id)?.exit?.exitCode).toBe(exit.exitCode);
    await troupe.removeContainer(id, world.call());
    await troupe.removeContainer(id, world.call());
    await troupe.stopContainer(id, 0, world.call());
    expect(world.count('journal container.removed')).toBe(1);
  });

  it('Remove of a running container kills it first', async () => {
    const { world, troupe, id } = await running();
    const removed = troupe.removeContainer(id, world.call());
    await turns();
    expect(world.asked).toEqual(['runtime.killAll']);
    world.exits(id, exit);
    await removed;
    expect(troupe.directory.container(id)).toBeUndefined();
  });

  it('a process that survives KILL is reported: the path says unkillable, and later stops join (F45)', async () => {
    const { world, troupe, id } = await running();
    const stop = (): Promise<void> =>
      expect(
        troupe.stopContainer(id, 0, world.call(actorLimits.unkillableMs + 20_000)),
      ).rejects.toMatchObject({
        fault: { kind: 'timedOut', message: expect.stringContaining('stopping.') as string },
      });
    const both = [stop(), stop()];
    await turns();
    await world.clock.advance(actorLimits.unkillableMs + actorLimits.killAgainMs);
    expect(troupe.directory.container(id)?.path).toBe('stopping.unkillable');
    await world.clock.advance(30_000);
    await Promise.all(both);
    world.exits(id, exit);
    await turns();
    expect(troupe.directory.container(id)?.state).toBe('exited');
  });

  it('StopPodSandbox ends the containers first, RemovePodSandbox removes them', async () => {
    const { world, troupe, id, sandboxId } = await running();
    const stopped = troupe.stopSandbox(sandboxId, world.call());
    await turns();
    expect(world.asked).toEqual(['journal sandbox.stopping', 'runtime.killAll']);
    world.exits(id, exit);
    await stopped;
    expect(troupe.directory.container(id)).toMatchObject({ state: 'exited' });
    await troupe.removeSandbox(sandboxId, world.call());
    expect([troupe.directory.containers(), troupe.directory.sandboxes()]).toEqual([[], []]);
    expect(world.asked.at(-1)).toBe('journal sandbox.removed');
  });
});

it('draining waits for running commands, leaves containers running and refuses new commands', async () => {
  const world = await EasyWorld.serving();
  expect(world.troupe.notReadyReason()).toBeUndefined();
  const go = world.hold('network.add');
  const first = world.troupe.runSandbox(sandboxSpec(), world.call());
  await turns();
  let drained = false;
  const draining = world.troupe.drain().then(() => {
    drained = true;
  });
  await turns();
  expect([drained, world.troupe.notReadyReason()]).toEqual([false, 'draining']);
  await go();
  const id = await first;
  await draining;
  expect(world.troupe.directory.sandbox(id)).toMatchObject({ ready: true });
});
