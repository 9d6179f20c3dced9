// A start that hangs, fails, or is overtaken by a stop.
import { describe, expect, it } from 'vitest';
import { actorLimits } from '../../../src/actors/bounds.ts';
import { EasyWorld } from './easy-ports.ts';
import { turns } from '../../support/turns.ts';
import { containerSpec, exit as exitFact, ofKind, sandboxSpec } from './fixtures.ts';

/** Later than every start on the test's clock. */
const exit = { ...exitFact, finishedAtNs: 10n ** 15n };

async function withContainer() {
  const world = await EasyWorld.serving();
  // a wall clock of 0 stands for a start that was not asked for
  await world.clock.advance(1);
  const { troupe } = world;
  const sandboxId = await troupe.runSandbox(sandboxSpec(), world.call());
  const id = await troupe.createContainer(
    containerSpec({ key: { sandboxId, name: 'nginx', attempt: 0 } }),
    world.call(),
  );
  return { world, troupe, id };
}

describe('StartContainer', () => {
  it('F34: a hanging start is aborted by a stop some seconds after it began, and the process is killed', async () => {
    const { world, troupe, id } = await withContainer();
    world.hold('runtime.start');
    const started = troupe.startContainer(id, world.call()).catch((thrown: unknown) => thrown);
    await turns();
    await world.clock.advance(1000);
    const stopped = troupe.stopContainer(id, 60_000, world.call());
    await world.clock.advance(actorLimits.startGivenUpMs - 1001);
    expect([troupe.directory.container(id)?.path, world.count('runtime.killAll')]).toEqual([
      'starting.runtime.inTime',
      0,
    ]);
    await world.clock.advance(1);
    expect(world.count('runtime.killAll')).toBe(1);
    world.exits(id, exit);
    await stopped;
    expect(troupe.directory.container(id)).toMatchObject({
      criState: 'exited',
      exit: { exitCode: 128, reason: 'StartError' },
    });
    expect(await started).toEqual(ofKind('superseded'));
  });

  it('F34: the time of hanging plugins counts, too, and what follows them is bounded', async () => {
    const { world, troupe, id } = await withContainer();
    world.hasPlugins = true;
    const answered = world.hold('nri.StartContainer');
    world.hold('runtime.start');
    const started = troupe.startContainer(id, world.call()).catch((thrown: unknown) => thrown);
    await turns();
    const stopped = troupe.stopContainer(id, 60_000, world.call());
    await world.clock.advance(1000);
    await answered();
    expect(troupe.directory.container(id)?.path).toBe('starting.runtime.inTime');
    await world.clock.advance(actorLimits.startGivenUpMs - 1);
    expect(world.count('runtime.killAll')).toBe(0);
    await world.clock.advance(1);
    expect(world.count('runtime.killAll')).toBe(1);
    world.exits(id, exit);
    await stopped;
    expect(await started).toEqual(ofKind('superseded'));
  });

  it('F34: plugins that hang are abandoned after a bounded time, and the runtime is not asked', async () => {
    const { world, troupe, id } = await withContainer();
    world.hasPlugins = true;
    world.hold('nri.StartContainer');
    const started = troupe.startContainer(id, world.call()).catch((thrown: unknown) => thrown);
    await turns();
    const stopped = troupe.stopContainer(id, 60_000, world.call());
    await world.clock.advance(actorLimits.startGivenUpMs - 1);
    expect([troupe.directory.container(id)?.path, world.count('runtime.killAll')]).toEqual([
      'starting.plugins.inTime',
      0,
    ]);
    await world.clock.advance(1);
    expect([world.count('runtime.start'), world.count('runtime.killAll')]).toEqual([0, 1]);
    world.exits(id, exit);
    await stopped;
    expect(await started).toEqual(ofKind('superseded'));
  });

  it('F34: a stop that arrives after that time abandons the start at once, and the answer names the stop', async () => {
    const { world, troupe, id } = await withContainer();
    world.hold('runtime.start');
    const started = troupe.startContainer(id, world.call()).catch((thrown: unknown) => thrown);
    await turns();
    await world.clock.advance(actorLimits.startGivenUpMs);
    expect(troupe.directory.container(id)?.path).toBe('starting.runtime.overdue');
    const aborts: unknown[] = [];
    const { activity } = troupe;
    const abort = activity.abort.bind(activity);
    activity.abort = (owner, reason) => {
      aborts.push(reason);
      abort(owner, reason);
    };
    const stopped = troupe.stopContainer(id, 60_000, world.call());
    await turns();
    expect(aborts).toEqual([`StopContainer ${id} arrived while it was being started`]);
    expect(world.count('runtime.killAll')).toBe(1);
    world.exits(id, exit);
    await Promise.all([started, stopped]);
  });

  it('F25: a record that hangs is never aborted by a stop', async () => {
    const { world, troupe, id } = await withContainer();
    const go = world.hold('journal container.started');
    const started = troupe.startContainer(id, world.call()).catch((thrown: unknown) => thrown);
    await turns();
    await world.clock.advance(actorLimits.startGivenUpMs + 1);
    const stopped = troupe.stopContainer(id, 60_000, world.call());
    await turns();
    expect(world.count('runtime.killAll')).toBe(0);
    expect(world.recorded.at(-1)?.type).toBe('container.stopping');
    await go();
    world.exits(id, exit);
    await Promise.all([started, stopped]);
  });

  it('a start that was kept during an update asks the plugins that are connected once the update has ended', async () => {
    const { world, troupe, id } = await withContainer();
    const go = world.hold('runtime.update');
    const updated = troupe.updateContainer(
      id,
      { ...containerSpec().resources, memoryLimitBytes: 64n },
      world.call(),
    );
    await turns();
    const started = troupe.startContainer(id, world.call());
    await turns();
    world.hasPlugins = true;
    await go();
    await Promise.all([updated, started]);
    expect(world.asked.filter((one) => ['nri.StartContainer', 'runtime.start'].includes(one))).toEqual([
      'nri.StartContainer',
      'runtime.start',
    ]);
  });

  it('without plugins a start has one effect before its record', async () => {
    const { world, troupe, id } = await withContainer();
    const paths: string[] = [];
    troupe.directory.listen(`container/${id}`, (view) => void paths.push(view.path));
    await troupe.startContainer(id, world.call());
    expect(paths).toEqual(['starting.runtime.inTime', 'starting.recording', 'running']);
  });

  it('I10: a container that failed to start but may run is reported as ended only once it has (sim seeds 492, 675)', async () => {
    const { world, troupe, id } = await withContainer();
    world.fail('runtime.start');
    world.fail('runtime.killAll');
    const started = troupe.startContainer(id, world.call()).catch((thrown: unknown) => thrown);
    await turns();
    await world.clock.advance(actorLimits.killAgainMs);
    expect([troupe.directory.container(id)?.criState, world.count('runtime.killAll')]).toEqual([
      'created',
      2,
    ]);
    world.exits(id, exit);
    expect(await started).toEqual(ofKind('outside'));
    expect(troupe.directory.container(id)).toMatchObject({
      criState: 'exited',
      exit: { exitCode: 128, reason: 'StartError', finishedAtNs: exit.finishedAtNs },
    });
  });

  it('a start of usual length is completed, and the process gets its signal', async () => {
    const { world, troupe, id } = await withContainer();
    const go = world.hold('runtime.start');
    const started = troupe.startContainer(id, world.call()).catch((thrown: unknown) => thrown);
    await turns();
    const stopped = troupe.stopContainer(id, 60_000, world.call());
    await go();
    await world.clock.advance(actorLimits.startGivenUpMs);
    expect([world.count('runtime.kill'), world.count('runtime.killAll')]).toEqual([1, 0]);
    world.exits(id, exit);
    await Promise.all([started, stopped]);
  });
});
