// The janitor's round over all actors: what it finds broken is stopped, what it can't observe is left alone.
import { describe, expect, it } from 'vitest';
import type { SandboxSpec } from '../../../src/ports/specs.ts';
import { actorLimits } from '../../../src/actors/bounds.ts';
import { EasyWorld } from './easy-ports.ts';
import { sandboxSpec } from './fixtures.ts';

const shared = (): Partial<SandboxSpec> => ({ namespaces: { ...sandboxSpec().namespaces, pid: 'pod' } });

async function withSandbox(part: Partial<SandboxSpec> = {}) {
  const world = await EasyWorld.serving();
  const id = await world.troupe.runSandbox(sandboxSpec(part), world.call());
  const round = () => world.clock.advance(actorLimits.janitorMs);
  return { world, id, round, view: () => world.troupe.directory.sandbox(id) };
}

describe('the janitor checks ready sandboxes', () => {
  it('an intact sandbox is left alone', async () => {
    const { world, round, view } = await withSandbox(shared());
    await round();
    expect(world.count('host.observe')).toBe(1);
    expect(view()?.ready).toBe(true);
  });

  it.each(['net', 'ipc'])(
    'F57 F85 a sandbox whose %s namespace is no longer pinned is not ready within a round of 5 s',
    async (pin) => {
      const { world, round, view } = await withSandbox();
      world.lostPins.push(pin);
      await round();
      expect(actorLimits.janitorMs).toBeLessThanOrEqual(5000);
      expect(view()).toMatchObject({ state: 'notReady', ready: false, stopCleanupPending: false });
      expect(world.asked).toContain('journal sandbox.stopping');
      expect(world.count('network.del')).toBe(1);
    },
  );

  it('a sandbox with the host’s namespaces stays ready', async () => {
    const { world, round, view } = await withSandbox();
    world.lostPins.push('uts');
    await round();
    expect(view()?.ready).toBe(true);
  });

  it('F85 a sandbox whose pause process has ended is not ready, and can be removed', async () => {
    const { world, id, round, view } = await withSandbox(shared());
    world.pauseAlive = false;
    await round();
    expect(view()).toMatchObject({ state: 'notReady', ready: false });
    await world.troupe.removeSandbox(id, world.call());
    expect(view()).toBeUndefined();
  });

  it('a failed check stops nothing, and the next round checks again', async () => {
    const { world, round, view } = await withSandbox();
    world.lostPins.push('net');
    world.fail('host.observe');
    await round();
    expect(view()?.ready).toBe(true);
    world.fix('host.observe');
    await round();
    expect(view()?.ready).toBe(false);
  });

  it('a sandbox stopped during the check is stopped once', async () => {
    const { world, id, round, view } = await withSandbox();
    const go = world.hold('host.observe');
    await round();
    const stopped = world.troupe.stopSandbox(id, world.call());
    await stopped;
    world.lostPins.push('net', 'ipc');
    await go();
    expect(view()?.state).toBe('notReady');
    expect(world.count('journal sandbox.stopping')).toBe(1);
  });

  it('nothing is checked without a ready sandbox', async () => {
    const { world, id, round } = await withSandbox();
    await world.troupe.stopSandbox(id, world.call());
    const before = world.count('host.observe');
    await round();
    expect(world.count('host.observe')).toBe(before);
  });
});
