// Undo of steps side by side: their order, and what a failure leaves.
import { describe, expect, it } from 'vitest';
import { undoableSteps } from '../../../../src/actors/effects/undo.ts';
import { SANDBOX_STEPS, UNDO_AFTER } from '../../../../src/actors/sandbox/sandbox.context.ts';
import { actorLimits } from '../../../../src/actors/bounds.ts';
import { turns } from '../../../support/turns.ts';
import { EasyWorld } from '../easy-ports.ts';
import { containerSpec, exit, sandboxSpec } from '../fixtures.ts';

const undoable = (begun: readonly (typeof SANDBOX_STEPS)[number][], failed: typeof begun = []) =>
  undoableSteps(UNDO_AFTER, begun, failed);

describe('the steps that may be undone at once', () => {
  it('are those whose users are gone', () => {
    expect(undoable(SANDBOX_STEPS)).toEqual(['network', 'pause']);
    expect(undoable(['files', 'cgroup', 'namespaces', 'network'])).toEqual(['files', 'cgroup', 'network']);
    expect(undoable(['files', 'cgroup', 'namespaces'])).toEqual(['files', 'cgroup', 'namespaces']);
    expect(undoable([])).toEqual([]);
  });

  it('leave out what failed, and what needs that', () => {
    expect(undoable(['files', 'cgroup', 'namespaces', 'network'], ['network'])).toEqual(['files', 'cgroup']);
    expect(undoable(['files', 'cgroup', 'namespaces', 'pause'], ['pause'])).toEqual([]);
  });

  it('come to an end from any set of steps, in an order in which each is undone after its users', () => {
    for (let set = 0; set < 2 ** SANDBOX_STEPS.length; set += 1) {
      let begun = SANDBOX_STEPS.filter((_step, at) => (set >> at) % 2 === 1);
      while (begun.length > 0) {
        const now = undoable(begun);
        expect(now).not.toEqual([]);
        for (const step of now) expect(UNDO_AFTER[step].filter((user) => begun.includes(user))).toEqual([]);
        begun = begun.filter((step) => !now.includes(step));
      }
    }
  });
});

const UNDOS: readonly string[] = [
  'runtime.destroyPause',
  'network.del',
  'host.unpinNamespaces',
  'host.removeSandboxCgroup',
  'host.removeSandboxFiles',
];

async function running() {
  const world = await EasyWorld.serving();
  const { namespaces } = sandboxSpec();
  const spec = sandboxSpec({ namespaces: { ...namespaces, pid: 'pod' } });
  const id = await world.troupe.runSandbox(spec, world.call());
  const undone = (): readonly string[] => world.asked.filter((one) => UNDOS.includes(one));
  return { world, troupe: world.troupe, id, undone };
}

describe('StopPodSandbox', () => {
  it('F50: undoes network and pause process side by side, then the namespaces', async () => {
    const { world, troupe, id, undone } = await running();
    const go = world.hold('network.del');
    const stopped = troupe.stopSandbox(id, world.call());
    await turns();
    expect(undone()).toEqual(['network.del', 'runtime.destroyPause']);
    await go();
    await stopped;
    expect(undone()).toEqual(['network.del', 'runtime.destroyPause', 'host.unpinNamespaces']);
  });

  it('names the steps that failed and keeps only those, with what needs them', async () => {
    const { world, troupe, id, undone } = await running();
    world.fail('network.del', 'CNI DEL: refused');
    await expect(troupe.stopSandbox(id, world.call())).rejects.toThrow(
      /^StopPodSandbox \w+: undo network: CNI DEL: refused$/u,
    );
    expect(undone()).toEqual(['network.del', 'runtime.destroyPause']);
    expect(troupe.directory.sandbox(id)).toMatchObject({
      stopCleanupPending: true,
      pendingCleanup: ['namespaces', 'network'],
    });
    expect(world.recorded.at(-1)).toMatchObject({ owed: ['files', 'cgroup', 'namespaces', 'network'] });
    world.fix('network.del');
    await troupe.stopSandbox(id, world.call());
    expect(undone().slice(2)).toEqual(['network.del', 'host.unpinNamespaces']);
  });

  it('names each of several that failed', async () => {
    const { world, troupe, id } = await running();
    world.fail('network.del', 'CNI DEL: refused');
    world.fail('runtime.destroyPause', 'destroy: refused', 'outside', { quotesOutput: true });
    await expect(troupe.stopSandbox(id, world.call())).rejects.toMatchObject({
      fault: {
        message: expect.stringContaining(
          'undo network: CNI DEL: refused; undo pause: destroy: refused',
        ) as string,
        quotesOutput: true,
      },
    });
  });
});

describe('RemovePodSandbox', () => {
  it('undoes the rest side by side: a failure keeps no other step from being undone', async () => {
    const { world, troupe, id, undone } = await running();
    await troupe.stopSandbox(id, world.call());
    world.fail('host.removeSandboxFiles', 'unmount: busy');
    const before = undone().length;
    await expect(troupe.removeSandbox(id, world.call())).rejects.toThrow(/undo files: unmount: busy/u);
    expect(undone().slice(before)).toEqual(['host.removeSandboxFiles', 'host.removeSandboxCgroup']);
    world.fix('host.removeSandboxFiles');
    await troupe.removeSandbox(id, world.call());
    expect(undone().slice(before + 2)).toEqual(['host.removeSandboxFiles']);
    expect(troupe.directory.sandboxes()).toEqual([]);
  });
});

describe('RemoveContainer', () => {
  async function exited() {
    const world = await EasyWorld.serving();
    const { troupe } = world;
    const sandboxId = await troupe.runSandbox(sandboxSpec(), world.call());
    const key = { sandboxId, name: 'nginx', attempt: 0 };
    const id = await troupe.createContainer(containerSpec({ key }), world.call());
    await troupe.startContainer(id, world.call());
    const undone = (): readonly string[] =>
      world.asked.filter((one) => one === 'runtime.destroy' || one === 'storage.removeRootfs');
    return { world, troupe, id, undone, exits: () => world.exits(id, { ...exit, finishedAtNs: 10n ** 15n }) };
  }

  it('undoes both steps of a released container side by side; one that fails stays alone', async () => {
    const { world, troupe, id, undone, exits } = await exited();
    exits();
    await turns();
    world.fail('runtime.destroy', 'cgroup: busy');
    await expect(troupe.removeContainer(id, world.call())).rejects.toThrow(/undo runtime: cgroup: busy/u);
    expect(undone()).toEqual(['storage.removeRootfs', 'runtime.destroy']);
    world.fix('runtime.destroy');
    await troupe.removeContainer(id, world.call());
    expect(undone()).toEqual(['storage.removeRootfs', 'runtime.destroy', 'runtime.destroy']);
  });

  it('after a failed release deletes no root file system that a process may still use', async () => {
    const { world, troupe, id, undone, exits } = await exited();
    world.fail('runtime.delete');
    exits();
    await turns();
    world.fail('runtime.destroy');
    await expect(troupe.removeContainer(id, world.call())).rejects.toThrow(/undo runtime/u);
    expect(undone()).toEqual(['runtime.destroy']);
    world.fix('runtime.destroy');
    await troupe.removeContainer(id, world.call());
    expect(undone()).toEqual(['runtime.destroy', 'runtime.destroy', 'storage.removeRootfs']);
  });
});

describe('a failed start', () => {
  it('is undone as far as possible; the janitor retries the rest, by name', async () => {
    const world = await EasyWorld.serving();
    const { troupe } = world;
    world.fail('network.add', 'CNI ADD: refused');
    world.fail('network.del', 'CNI DEL: refused');
    await expect(troupe.runSandbox(sandboxSpec(), world.call())).rejects.toThrow(/CNI ADD: refused/u);
    const [view] = troupe.directory.sandboxes();
    expect(view).toMatchObject({ state: 'cleanupPending', pendingCleanup: ['namespaces', 'network'] });
    world.fix('network.del');
    await world.clock.advance(actorLimits.janitorMs);
    await turns();
    expect(troupe.directory.sandboxes()).toEqual([]);
    expect(world.count('host.removeSandboxCgroup')).toBe(1);
  });
});
