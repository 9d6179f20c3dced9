// What plugins hear around the effects, on the whole cast.
import { describe, expect, it } from 'vitest';
import { EasyWorld } from './easy-ports.ts';
import { turns } from '../../support/turns.ts';
import { containerSpec, exit as exitFact, sandboxSpec } from './fixtures.ts';

const exit = { ...exitFact, finishedAtNs: 10n ** 15n };

async function withPlugins() {
  const world = await EasyWorld.serving();
  world.hasPlugins = true;
  return { world, troupe: world.troupe };
}

async function withContainer() {
  const { world, troupe } = await withPlugins();
  const sandboxId = await troupe.runSandbox(sandboxSpec(), world.call());
  const id = await troupe.createContainer(
    containerSpec({ key: { sandboxId, name: 'nginx', attempt: 0 } }),
    world.call(),
  );
  return { world, troupe, sandboxId, id };
}

const newsIn = (asked: readonly string[]): readonly string[] =>
  asked.filter((one) => one.startsWith('nri.')).map((one) => one.slice(4));

describe('news', () => {
  it('is not sent without plugins', async () => {
    const world = await EasyWorld.serving();
    await world.troupe.runSandbox(sandboxSpec(), world.call());
    expect(newsIn(world.asked)).toEqual([]);
  });

  it('covers a whole life, each event before or after its step', async () => {
    const { world, troupe, sandboxId, id } = await withContainer();
    await troupe.startContainer(id, world.call());
    await troupe.updateContainer(id, containerSpec().resources, world.call());
    await troupe.updateSandbox(
      sandboxId,
      { overhead: containerSpec().resources, resources: containerSpec().resources },
      world.call(),
    );
    world.exits(id, exit);
    await turns();
    await troupe.stopSandbox(sandboxId, world.call());
    await troupe.stopSandbox(sandboxId, world.call());
    await troupe.removeSandbox(sandboxId, world.call());
    expect(newsIn(world.asked)).toEqual([
      'RunPodSandbox',
      'PostCreateContainer',
      'StartContainer',
      'PostStartContainer',
      'UpdateContainer',
      'PostUpdateContainer',
      'UpdatePodSandbox',
      'PostUpdatePodSandbox',
      'StopContainer',
      'StopPodSandbox',
      'RemoveContainer',
      'RemovePodSandbox',
    ]);
    const before = (one: string, other: string): void =>
      expect(world.asked.indexOf(one), `${one} before ${other}`).toBeLessThan(world.asked.indexOf(other));
    before('nri.RunPodSandbox', 'journal sandbox.ready');
    before('journal container.created', 'nri.PostCreateContainer');
    before('nri.StartContainer', 'runtime.start');
    before('journal container.started', 'nri.PostStartContainer');
    before('nri.UpdateContainer', 'journal container.updating');
    before('nri.StopContainer', 'runtime.delete');
    // the network is still there
    before('nri.StopPodSandbox', 'network.del');
    before('nri.RemoveContainer', 'journal container.removed');
    before('nri.RemovePodSandbox', 'journal sandbox.removed');
  });
});

describe('a refusal', () => {
  it('of a pod undoes it; nothing was listed or recorded as ready, and the name is free', async () => {
    const { world, troupe } = await withPlugins();
    world.fail('nri.RunPodSandbox');
    await expect(troupe.runSandbox(sandboxSpec(), world.call())).rejects.toThrow(
      /nri.RunPodSandbox: refused/,
    );
    expect(world.count('journal sandbox.ready')).toBe(0);
    expect(world.asked).toContain('network.del');
    expect(newsIn(world.asked)).toEqual(['RunPodSandbox', 'RemovePodSandbox']);
    world.fix('nri.RunPodSandbox');
    await troupe.runSandbox(sandboxSpec(), world.call());
  });

  it('of a start ends the container with its reason, and nothing ran', async () => {
    const { world, troupe, id } = await withContainer();
    world.fail('nri.StartContainer');
    const call = expect(troupe.startContainer(id, world.call())).rejects.toThrow(
      /nri.StartContainer: refused/,
    );
    await turns();
    world.exits(id, exit);
    await call;
    expect(world.count('runtime.start')).toBe(0);
    expect(troupe.directory.container(id)?.startFault?.message).toMatch(/refused/);
  });

  it('of an update leaves the limits as they are', async () => {
    const { world, troupe, id } = await withContainer();
    world.fail('nri.UpdateContainer');
    await expect(
      troupe.updateContainer(id, { ...containerSpec().resources, cpuShares: 9n }, world.call()),
    ).rejects.toThrow(/refused/);
    expect(world.count('runtime.update')).toBe(0);
    expect(troupe.directory.container(id)).toMatchObject({
      state: 'created',
      spec: { resources: { cpuShares: 2n } },
    });
  });
});

describe('a notification after the fact', () => {
  it('fails nothing', async () => {
    const { world, troupe } = await withPlugins();
    for (const news of [
      'PostCreateContainer',
      'PostStartContainer',
      'StopContainer',
      'RemoveContainer',
      'StopPodSandbox',
      'RemovePodSandbox',
      'PostUpdateContainer',
    ]) {
      world.fail(`nri.${news}`);
    }
    const sandboxId = await troupe.runSandbox(sandboxSpec(), world.call());
    const id = await troupe.createContainer(
      containerSpec({ key: { sandboxId, name: 'nginx', attempt: 0 } }),
      world.call(),
    );
    await troupe.startContainer(id, world.call());
    await troupe.updateContainer(id, containerSpec().resources, world.call());
    world.exits(id, exit);
    await turns();
    await troupe.removeSandbox(sandboxId, world.call());
    expect(troupe.directory.sandboxes()).toEqual([]);
    expect(troupe.directory.containers()).toEqual([]);
  });
});

describe('a wait for plugins', () => {
  it('is named in the answer at the deadline', async () => {
    const { world, troupe } = await withPlugins();
    const go = world.hold('nri.RunPodSandbox');
    const call = expect(troupe.runSandbox(sandboxSpec(), world.call(1000))).rejects.toThrow(
      /committing, waiting on nri.RunPodSandbox for 1.0 s/,
    );
    await turns();
    await world.clock.advance(1000);
    await call;
    const second = troupe.runSandbox(sandboxSpec(), world.call());
    await go();
    await second;
    expect(world.count('nri.RunPodSandbox')).toBe(1);
  });
});

describe('limits that plugins gave a container', () => {
  it('are reported to clients, are the base of updates, and are read by a restart', async () => {
    const { world, troupe } = await withPlugins();
    const limits = { ...containerSpec().resources, cpuShares: 444n };
    world.answers['runtime.writeBundle'] = {
      uid: 0,
      gid: 0,
      supplementalGroups: [],
      stopSignal: 'SIGTERM',
      logPath: '',
      limits,
    };
    const sandboxId = await troupe.runSandbox(sandboxSpec(), world.call());
    const spec = containerSpec({ key: { sandboxId, name: 'nginx', attempt: 0 } });
    const go = world.hold('journal container.created');
    const first = troupe.createContainer(spec, world.call(1000)).catch((thrown: unknown) => thrown);
    await turns();
    await world.clock.advance(1000);
    expect(await first).toBeInstanceOf(Error);
    await go();
    // the same request joins, although the limits have changed meanwhile
    const id = await troupe.createContainer(spec, world.call());
    expect(world.count('runtime.create')).toBe(1);
    expect(troupe.directory.container(id)?.spec.resources.cpuShares).toBe(444n);
    expect(world.ledger.containers.get(id)?.resources?.cpuShares).toBe(444n);
    await troupe.updateContainer(id, { ...limits, cpuShares: 5n }, world.call());
    expect(await troupe.createContainer(spec, world.call())).toBe(id);
    expect(troupe.directory.container(id)?.spec.resources.cpuShares).toBe(5n);
  });
});
