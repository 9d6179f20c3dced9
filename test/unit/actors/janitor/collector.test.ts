// CNI GC: when it is run, and which pods it keeps.
import { describe, expect, it } from 'vitest';
import { collectNetwork } from '../../../../src/actors/janitor/collect-network.ts';
import { actorLimits } from '../../../../src/actors/bounds.ts';
import { emptyLedger, ledgerFold } from '../../../../src/actors/ledger/ledger.ts';
import { silentLog } from '../../../../src/base/log.ts';
import type { SandboxId } from '../../../../src/base/ids.ts';
import { fxOf } from '../../../support/fx.ts';
import { turns } from '../../../support/turns.ts';
import { EasyWorld } from '../easy-ports.ts';
import { sandboxId, sandboxIntent, sandboxSpec } from '../fixtures.ts';

const POLL = actorLimits.networkGcPollMs;

async function servingWith(network: string | undefined): Promise<EasyWorld> {
  const world = await EasyWorld.serving();
  world.answers['network.collectable'] = network;
  return world;
}

const polls = async (world: EasyWorld, count: number): Promise<void> => {
  for (let round = 0; round < count; round += 1) await world.clock.advance(POLL);
};

describe('the collector', () => {
  it('runs GC once for each configuration of the network, after the first poll', async () => {
    const world = await servingWith('n@1');
    await world.clock.advance(POLL - 1);
    expect(world.count('network.collect')).toBe(0);
    await polls(world, 3);
    expect(world.count('network.collect')).toBe(1);
    world.answers['network.collectable'] = undefined;
    await polls(world, 2);
    world.answers['network.collectable'] = 'n@1';
    await polls(world, 2);
    expect(world.count('network.collect')).toBe(1);
    world.answers['network.collectable'] = 'n@2';
    await polls(world, 2);
    expect(world.count('network.collect')).toBe(2);
  });

  it('asks nothing of the node where the network can not be collected', async () => {
    const world = await servingWith(undefined);
    await polls(world, 3);
    expect([world.count('network.collect'), world.count('host.observe')]).toEqual([0, 0]);
  });

  it('never runs GC before the recovery has ended, however long it takes', async () => {
    const world = new EasyWorld();
    world.answers['network.collectable'] = 'n@1';
    const go = world.hold('network.observe');
    const starting = world.troupe.start();
    await turns();
    await world.clock.advance(actorLimits.removeRootfsMs);
    expect(world.count('network.collect')).toBe(0);
    await go();
    await starting;
    expect(world.count('network.collect')).toBe(0);
    await polls(world, 1);
    expect(world.count('network.collect')).toBe(1);
  });

  it('tries again an hour after a failure, and serves meanwhile', async () => {
    const world = await servingWith('n@1');
    world.fail('network.collect');
    await polls(world, 1);
    await world.troupe.runSandbox(sandboxSpec(), world.call());
    world.fix('network.collect');
    await world.clock.advance(actorLimits.networkGcRetryMs - 1);
    expect(world.count('network.collect')).toBe(1);
    await world.clock.advance(1);
    expect(world.count('network.collect')).toBe(2);
    await polls(world, 2);
    expect(world.count('network.collect')).toBe(2);
  });

  it('tries again at the next poll where pods left no pause', async () => {
    const world = await servingWith('n@1');
    world.fail('network.collect', 'busy', 'notReady');
    await polls(world, 3);
    expect(world.count('network.collect')).toBe(3);
    world.fix('network.collect');
    await polls(world, 3);
    expect(world.count('network.collect')).toBe(4);
  });

  it('holds up no round of the janitor and no pod while a plugin hangs, and is ended at its bound', async () => {
    const world = await servingWith('n@1');
    await world.troupe.runSandbox(sandboxSpec(), world.call());
    world.hold('network.collect');
    await polls(world, 1);
    expect(world.count('network.collect')).toBe(1);
    world.lostPins.push('net');
    await world.clock.advance(actorLimits.janitorMs);
    expect(world.troupe.directory.sandboxes()[0]?.ready).toBe(false);
    await world.clock.advance(actorLimits.networkGcMs + actorLimits.driverGraceMs);
    expect(world.troupe.activity.of('collector')).toEqual([]);
  });
});

describe('GC of the network', () => {
  const [recorded, leaving, unrecorded] = [sandboxId('1'), sandboxId('2'), sandboxId('3')];

  function stage(observe: () => Promise<unknown>) {
    const ledger = emptyLedger();
    for (const id of [recorded, leaving]) ledgerFold.apply(ledger, sandboxIntent({}, id));
    ledgerFold.apply(ledger, { type: 'sandbox.stopping', id: leaving });
    const kept: (readonly SandboxId[])[] = [];
    const ports = {
      log: silentLog,
      host: { observe },
      network: {
        collectable: () => 'n@1',
        collect: (ids: readonly SandboxId[]) => {
          kept.push(ids);
          return Promise.resolve();
        },
      },
    };
    return { stage: { ports: ports as never, ledger }, kept };
  }

  it('keeps sandboxes of the journal, also those that are being stopped, and F18 those that no record names', async () => {
    const { stage: given, kept } = stage(() => Promise.resolve({ sandboxes: [{ id: unrecorded }] }));
    expect(await collectNetwork(given, { collected: undefined }, fxOf())).toBe('n@1');
    expect(kept.map((ids) => [...ids].toSorted())).toEqual([[recorded, leaving, unrecorded]]);
    expect(await collectNetwork(given, { collected: 'n@1' }, fxOf())).toBe('n@1');
    expect(kept.length).toBe(1);
  });

  it('is not run where the node can not be read', async () => {
    const { stage: given, kept } = stage(() => Promise.reject(new Error('EIO')));
    await expect(collectNetwork(given, { collected: undefined }, fxOf())).rejects.toThrow('EIO');
    expect(kept).toEqual([]);
  });
});
