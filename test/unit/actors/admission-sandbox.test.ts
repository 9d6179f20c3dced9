// Which calls for a sandbox join, wait or are refused (docs/architecture.md, "Flows"), on the whole cast over a world
// where all works.
import { describe, expect, it } from 'vitest';
import { actorLimits } from '../../../src/actors/bounds.ts';
import type { SandboxSpec } from '../../../src/ports/specs.ts';
import { EasyWorld } from './easy-ports.ts';
import { turns } from '../../support/turns.ts';
import { ofKind, sandboxSpec } from './fixtures.ts';

const attempt = (number: number): Partial<SandboxSpec> => ({
  key: { ...sandboxSpec().key, attempt: number },
});

describe('RunPodSandbox', () => {
  it('records its intent before the first effect and is ready after its record', async () => {
    const world = await EasyWorld.serving();
    const id = await world.troupe.runSandbox(sandboxSpec(), world.call());
    expect(world.asked[0]).toBe('journal sandbox.intent');
    expect(world.asked.at(-1)).toBe('journal sandbox.ready');
    expect(world.asked.slice(1, -1).toSorted()).toEqual([
      'host.makeSandboxCgroup',
      'host.makeSandboxFiles',
      'host.pinNamespaces',
      'network.add',
    ]);
    expect(world.troupe.directory.sandbox(id)).toMatchObject({
      ready: true,
      listed: true,
      claimed: true,
      ips: ['10.62.0.2'],
    });
  });

  it('a second call while it is made joins, also with other annotations, and gets the same id', async () => {
    const world = await EasyWorld.serving();
    const go = world.hold('network.add');
    const first = world.troupe.runSandbox(sandboxSpec(), world.call());
    await turns();
    const second = world.troupe.runSandbox(sandboxSpec({ annotations: { seen: '2' } }), world.call());
    await turns();
    expect(world.troupe.directory.sandboxes().filter((view) => view.listed)).toEqual([]);
    await go();
    expect(await first).toBe(await second);
    expect(world.count('network.add')).toBe(1);
  });

  it('a different request under the name undoes the first and runs the new one within the same call', async () => {
    const world = await EasyWorld.serving();
    const go = world.hold('network.add');
    const first = world.troupe.runSandbox(sandboxSpec(), world.call()).catch((thrown: unknown) => thrown);
    await turns();
    const second = world.troupe.runSandbox(sandboxSpec({ hostname: 'other' }), world.call());
    await turns();
    await go();
    const id = await second;
    expect(await first).toEqual(ofKind('superseded'));
    expect(world.troupe.directory.sandboxes().map((view) => view.id)).toEqual([id]);
    expect(world.count('network.del')).toBe(1);
  });

  it('a sandbox stopped while its record is written is withdrawn by its intent before the undo (sim seed 3244, I4)', async () => {
    const world = await EasyWorld.serving();
    const go = world.hold('journal sandbox.ready');
    const call = expect(world.troupe.runSandbox(sandboxSpec(), world.call())).rejects.toThrow(
      ofKind('superseded'),
    );
    await turns();
    const [view] = world.troupe.directory.sandboxes();
    if (view === undefined) throw new Error('no sandbox');
    const stopped = world.troupe.removeSandbox(view.id, world.call());
    await go();
    await Promise.all([call, stopped]);
    const from = world.asked.indexOf('journal sandbox.ready');
    expect(world.asked.slice(from)).toEqual([
      'journal sandbox.ready',
      'journal sandbox.intent',
      'host.removeSandboxFiles',
      'host.removeSandboxCgroup',
      'network.del',
      'host.unpinNamespaces',
      'journal sandbox.removed',
    ]);
  });

  it('F12 a call that arrives after the drain is refused with the reason, and leaves nothing (sim seed 5909)', async () => {
    const world = await EasyWorld.serving();
    await world.troupe.drain();
    await expect(world.troupe.runSandbox(sandboxSpec(), world.call())).rejects.toThrow(ofKind('notReady'));
    expect(world.asked).toEqual([]);
    expect(world.troupe.directory.sandboxes()).toEqual([]);
  });

  it('a ready sandbox is returned again, whatever the config; a stopped one is AlreadyExists with id and state', async () => {
    const world = await EasyWorld.serving();
    const id = await world.troupe.runSandbox(sandboxSpec(), world.call());
    expect(await world.troupe.runSandbox(sandboxSpec({ hostname: 'other' }), world.call())).toBe(id);
    await world.troupe.stopSandbox(id, world.call());
    await expect(world.troupe.runSandbox(sandboxSpec(), world.call())).rejects.toMatchObject({
      fault: {
        kind: 'conflict',
        subject: id,
        message: expect.stringContaining(`sandbox ${id} has this name and is notReady`) as string,
      },
    });
    await world.troupe.removeSandbox(id, world.call());
    expect(await world.troupe.runSandbox(sandboxSpec(), world.call())).not.toBe(id);
  });

  it('I13 one that is being removed is waited for, from the first record of that on', async () => {
    const world = await EasyWorld.serving();
    const id = await world.troupe.runSandbox(sandboxSpec(), world.call());
    const go = world.hold('journal sandbox.stopping');
    const removed = world.troupe.removeSandbox(id, world.call());
    await turns();
    // lists still report it ready
    expect(world.troupe.directory.sandbox(id)).toMatchObject({ state: 'stopping', ready: true });
    const next = world.troupe.runSandbox(sandboxSpec(), world.call());
    await turns();
    await go();
    await removed;
    const other = await next;
    expect(other).not.toBe(id);
    expect(world.recorded).toContainEqual({ type: 'sandbox.stopping', id, removal: true });
    expect(world.troupe.directory.sandboxes()).toMatchObject([{ id: other, ready: true }]);
  });

  it('I13 one whose removal failed is removed first, or the answer says why it can not be', async () => {
    const world = await EasyWorld.serving();
    const id = await world.troupe.runSandbox(sandboxSpec(), world.call());
    world.fail('host.removeSandboxCgroup');
    await expect(world.troupe.removeSandbox(id, world.call())).rejects.toThrow(ofKind('outside'));
    await expect(world.troupe.runSandbox(sandboxSpec(), world.call())).rejects.toMatchObject({
      fault: {
        kind: 'outside',
        message: expect.stringContaining(
          'its removal fails: undo cgroup: host.removeSandboxCgroup: refused',
        ) as string,
      },
    });
    world.fix('host.removeSandboxCgroup');
    const next = await world.troupe.runSandbox(sandboxSpec(), world.call());
    expect(world.troupe.directory.sandboxes()).toMatchObject([{ id: next, ready: true }]);
  });

  it('I13 one whose commit is being withdrawn is waited for', async () => {
    const world = await EasyWorld.serving();
    const ready = world.hold('journal sandbox.ready');
    const first = world.troupe.runSandbox(sandboxSpec(), world.call()).catch((thrown: unknown) => thrown);
    await turns();
    const [view] = world.troupe.directory.sandboxes();
    if (view === undefined) throw new Error('no sandbox');
    const removed = world.troupe.removeSandbox(view.id, world.call());
    const go = world.hold('journal sandbox.intent');
    await ready();
    expect(world.troupe.directory.sandbox(view.id)).toMatchObject({ state: 'withdrawing' });
    const next = world.troupe.runSandbox(sandboxSpec(), world.call());
    await turns();
    await go();
    await removed;
    expect(await first).toEqual(ofKind('superseded'));
    const id = await next;
    expect(world.troupe.directory.sandboxes()).toMatchObject([{ id, ready: true }]);
  });

  it('F70: a higher attempt gets a new id and undoes an unclaimed lower one, never a claimed one', async () => {
    const world = await EasyWorld.serving();
    const claimed = await world.troupe.runSandbox(sandboxSpec(attempt(0)), world.call());
    const go = world.hold('network.add');
    const lower = world.troupe
      .runSandbox(sandboxSpec(attempt(1)), world.call())
      .catch((thrown: unknown) => thrown);
    await turns();
    const higher = world.troupe.runSandbox(sandboxSpec(attempt(2)), world.call());
    await turns();
    await go();
    const id = await higher;
    expect(await lower).toEqual(ofKind('superseded'));
    expect(world.troupe.directory.sandboxes().map((view) => view.id)).toEqual([claimed, id]);
  });

  it('F50 F70: a lower attempt that a higher one replaces is aborted: its undo does not wait for a plugin that hangs', async () => {
    const world = await EasyWorld.serving();
    world.hold('network.add');
    const lower = world.troupe
      .runSandbox(sandboxSpec(attempt(0)), world.call())
      .catch((thrown: unknown) => thrown);
    await turns();
    const higher = world.troupe
      .runSandbox(sandboxSpec(attempt(1)), world.call())
      .catch((thrown: unknown) => thrown);
    expect(await lower).toEqual(ofKind('superseded'));
    const [view] = world.troupe.directory.sandboxes();
    await world.troupe.removeSandbox(view?.id ?? expect.fail('no sandbox'), world.call());
    expect(await higher).toEqual(ofKind('superseded'));
  });

  it('a failed step leads to the undo of every step, each after those that use it, and the name is free', async () => {
    const world = await EasyWorld.serving();
    world.fail('network.add');
    // begins with what was asked for and of whom, ends with the reason
    const message = expect.stringMatching(
      /^RunPodSandbox default\/web \(uid u1, attempt 0\): sandbox [0-9a-f]{64}: network\.add: refused$/u,
    ) as string;
    await expect(world.troupe.runSandbox(sandboxSpec(), world.call())).rejects.toMatchObject({
      fault: { kind: 'outside', message },
    });
    expect(world.asked.slice(-5)).toEqual([
      'host.removeSandboxFiles',
      'host.removeSandboxCgroup',
      'network.del',
      'host.unpinNamespaces',
      'journal sandbox.removed',
    ]);
    world.fix('network.add');
    await world.troupe.runSandbox(sandboxSpec(), world.call());
  });

  it('the janitor retries a failed undo; the sandbox is not listed, and the name is free', async () => {
    const world = await EasyWorld.serving();
    world.fail('network.add');
    world.fail('host.unpinNamespaces');
    await expect(world.troupe.runSandbox(sandboxSpec(), world.call())).rejects.toMatchObject({
      fault: { message: expect.stringContaining('network.add: refused') as string },
    });
    const [pending] = world.troupe.directory.sandboxes();
    expect(pending).toMatchObject({ state: 'cleanupPending', listed: false, cleanupPending: true });
    world.fix('network.add');
    const id = await world.troupe.runSandbox(sandboxSpec(), world.call());
    await world.clock.advance(actorLimits.janitorMs);
    expect(world.troupe.directory.sandboxes()).toHaveLength(2);
    world.fix('host.unpinNamespaces');
    await world.clock.advance(actorLimits.janitorMs);
    expect(world.troupe.directory.sandboxes().map((view) => view.id)).toEqual([id]);
  });

  it('at the deadline the answer names state and reason of the wait; a retry gets the result', async () => {
    const world = await EasyWorld.serving();
    const go = world.hold('network.add');
    const first = expect(world.troupe.runSandbox(sandboxSpec(), world.call(500))).rejects.toMatchObject({
      fault: {
        kind: 'timedOut',
        message: expect.stringMatching(
          /deadline passed in state provisioning\.\{.*network\.adding\}, waiting on network\.add for 0\.5 s/u,
        ) as string,
      },
    });
    await turns();
    await world.clock.advance(500);
    await first;
    const retry = world.troupe.runSandbox(sandboxSpec({ annotations: {} }), world.call(500));
    await go();
    expect(world.troupe.directory.sandbox(await retry)).toMatchObject({ ready: true, claimed: true });
    expect(world.count('network.add')).toBe(1);
  });

  it.each<[string, Partial<SandboxSpec>, string, string]>([
    ['a handler that is not configured', { handler: 'kata' }, '', 'invalidRequest'],
    ['a handler that cannot work here', { handler: 'broken' }, '', 'wrongState'],
    ['no network', {}, 'network', 'notReady'],
  ])('is refused for %s, before anything is written', async (_what, part, failing, kind) => {
    const world = await EasyWorld.serving();
    if (failing !== '') world.fail(failing);
    await expect(world.troupe.runSandbox(sandboxSpec(part), world.call())).rejects.toThrow(ofKind(kind));
    expect(world.asked).toEqual([]);
  });

  it('an intent that cannot be written leaves nothing', async () => {
    const world = await EasyWorld.serving();
    world.fail('journal sandbox.intent');
    await expect(world.troupe.runSandbox(sandboxSpec(), world.call())).rejects.toThrow(ofKind('outside'));
    expect(world.asked).toEqual(['journal sandbox.intent']);
    expect(world.troupe.directory.sandboxes()).toEqual([]);
  });
});
