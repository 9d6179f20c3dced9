// An exit is shown once it is recorded; runtime state and mounts are released behind it.
import { describe, expect, it } from 'vitest';
import { EventFeed } from '../../../src/cri/call/event-feed.ts';
import { EasyWorld } from './easy-ports.ts';
import { containerSpec, exit as exitFact, ofKind, sandboxSpec } from './fixtures.ts';
import { turns } from '../../support/turns.ts';

const exit = { ...exitFact, finishedAtNs: 10n ** 15n };
const { security } = containerSpec();
const inPodsPids = { ...security, namespaces: { ...security.namespaces, pid: 'pod' as const } };

async function running(part: Parameters<typeof containerSpec>[0] = {}) {
  const world = await EasyWorld.serving();
  const { troupe } = world;
  const pid = part.security?.namespaces.pid ?? 'container';
  const sandboxId = await troupe.runSandbox(
    sandboxSpec({ namespaces: { ...sandboxSpec().namespaces, pid } }),
    world.call(),
  );
  const spec = containerSpec({ key: { sandboxId, name: 'nginx', attempt: 0 }, ...part });
  const id = await troupe.createContainer(spec, world.call());
  await troupe.startContainer(id, world.call());
  world.asked.length = 0;
  return { world, troupe, sandboxId, spec, id };
}

type Running = Awaited<ReturnType<typeof running>>;

async function exits({ world, id }: Pick<Running, 'world' | 'id'>): Promise<void> {
  world.exits(id, exit);
  await turns();
}

/** Whether the promise has settled by now. */
async function isOver(promise: Promise<unknown>): Promise<boolean> {
  let over = false;
  promise.finally(() => (over = true)).catch(() => undefined);
  await turns();
  return over;
}

const shown = ({ troupe, id }: Pick<Running, 'troupe' | 'id'>) => troupe.directory.container(id);

describe('an exit', () => {
  it.each(['runtime.delete', 'storage.unmountRootfs'])(
    'F34 I10: is shown while %s hangs; RemoveContainer waits for that',
    async (effect) => {
      const stage = await running();
      const { world, troupe, id } = stage;
      const go = world.hold(effect);
      await exits(stage);
      expect(world.count(effect)).toBe(1);
      expect(shown(stage)).toMatchObject({
        criState: 'exited',
        exit: { exitCode: exit.exitCode },
        listed: true,
      });
      await troupe.stopContainer(id, 10_000, world.call());
      const removed = troupe.removeContainer(id, world.call());
      expect(await isOver(removed)).toBe(false);
      expect(world.count('runtime.destroy')).toBe(0);
      await go();
      await removed;
      expect(shown(stage)).toBeUndefined();
    },
  );

  it('I5 I7: is not shown before its record is durable', async () => {
    const stage = await running();
    const { world, troupe, id } = stage;
    const go = world.hold('journal container.exited');
    const stopped = troupe.stopContainer(id, 0, world.call());
    await exits(stage);
    expect(shown(stage)).toMatchObject({ criState: 'running', exit: undefined });
    expect(await isOver(stopped)).toBe(false);
    await go();
    expect(shown(stage)?.criState).toBe('exited');
    await stopped;
  });

  it('F21: is shown once its record is refused: the exit file is kept as the record', async () => {
    const stage = await running();
    const { world } = stage;
    world.fail('journal container.exited');
    const go = world.hold('runtime.delete');
    await exits(stage);
    expect(shown(stage)).toMatchObject({ criState: 'exited', exit: { exitCode: exit.exitCode } });
    expect(world.count('runtime.forgetExit')).toBe(0);
    await go();
    expect(shown(stage)).toMatchObject({ state: 'exited', cleanupPending: true });
  });

  it('is shown after NRI plugins have heard of it, so that what they gave the container is free', async () => {
    const stage = await running();
    const { world, troupe, id } = stage;
    world.hasPlugins = true;
    const go = world.hold('nri.StopContainer');
    const stopped = troupe.stopContainer(id, 0, world.call());
    await exits(stage);
    expect(world.count('journal container.exited')).toBe(1);
    expect(shown(stage)?.criState).toBe('running');
    expect(await isOver(stopped)).toBe(false);
    expect(world.count('runtime.delete')).toBe(0);
    await go();
    expect(shown(stage)?.criState).toBe('exited');
    await stopped;
  });

  it('is shown after the processes that shared the PID namespace were killed', async () => {
    const stage = await running({ security: inPodsPids });
    const { world } = stage;
    const go = world.hold('runtime.killAll');
    await exits(stage);
    expect(world.count('runtime.killAll')).toBe(1);
    expect(shown(stage)?.criState).toBe('running');
    await go();
    expect(shown(stage)?.criState).toBe('exited');
  });

  it('of a container with a PID namespace of its own needs no kill: the kernel has ended the others', async () => {
    const stage = await running();
    await exits(stage);
    expect(stage.world.count('runtime.killAll')).toBe(0);
  });

  it('I11: is one event, sent while the release hangs', async () => {
    const stage = await running();
    const { world, troupe } = stage;
    const stream = new EventFeed(troupe.directory, world.clock, { id: 'a' }).open();
    const go = world.hold('runtime.delete');
    await exits(stage);
    const signal = new AbortController().signal;
    const events = await stream.take(signal);
    expect(events.map(({ type }) => type)).toEqual(['stopped']);
    expect(events[0]?.containers[0]).toMatchObject({ criState: 'exited', exit: { exitCode: exit.exitCode } });
    await go();
    expect(shown(stage)?.state).toBe('exited');
    await troupe.removeContainer(stage.id, world.call());
    expect((await stream.take(signal)).map(({ type }) => type)).toEqual(['deleted']);
  });

  it('of a failed start answers StartContainer while the release hangs', async () => {
    const world = await EasyWorld.serving();
    const { troupe } = world;
    const sandboxId = await troupe.runSandbox(sandboxSpec(), world.call());
    const key = { sandboxId, name: 'nginx', attempt: 0 };
    const id = await troupe.createContainer(containerSpec({ key }), world.call());
    world.fail('runtime.start');
    const go = world.hold('runtime.delete');
    const started = troupe.startContainer(id, world.call());
    const refused = expect(started).rejects.toThrow(/runtime.start: refused/);
    await turns();
    await exits({ world, id });
    await refused;
    expect(shown({ troupe, id })).toMatchObject({ criState: 'exited', exit: { reason: 'StartError' } });
    await go();
  });
});

describe('while a release hangs', () => {
  async function releasing() {
    const stage = await running();
    const go = stage.world.hold('runtime.delete');
    await exits(stage);
    return { ...stage, go };
  }

  it('F71 I12: commands are refused as for a container that has exited', async () => {
    const { world, troupe, id, spec } = await releasing();
    const refused = [
      troupe.execSync(id, ['true'], 1000, world.call()),
      troupe.updateContainer(id, spec.resources, world.call()),
      troupe.reopenLog(id, world.call()),
      troupe.startContainer(id, world.call()),
      troupe.checkpointContainer({ id, archive: '/tmp/archive' }, 1000, world.call()),
    ];
    for (const one of refused) await expect(one).rejects.toThrow(ofKind('wrongState'));
  });

  it('F70: the next attempt is created and started', async () => {
    const { world, troupe, spec, id } = await releasing();
    const next = await troupe.createContainer({ ...spec, key: { ...spec.key, attempt: 1 } }, world.call());
    await troupe.startContainer(next, world.call());
    expect(next).not.toBe(id);
    expect(troupe.directory.container(next)?.criState).toBe('running');
    expect(troupe.directory.container(id)?.criState).toBe('exited');
  });

  it.each(['stopSandbox', 'removeSandbox'] as const)(
    'F34: %s waits for it before it undoes anything',
    async (command) => {
      const { world, troupe, sandboxId, go } = await releasing();
      const ended = troupe[command](sandboxId, world.call());
      expect(await isOver(ended)).toBe(false);
      expect(world.count('network.del')).toBe(0);
      await go();
      await ended;
      expect(world.count('network.del')).toBe(1);
    },
  );

  it('a drain waits for it', async () => {
    const { troupe, go } = await releasing();
    const drained = troupe.drain();
    expect(await isOver(drained)).toBe(false);
    await go();
    await drained;
  });

  it('a failure of it is retried by RemoveContainer; StopContainer succeeds, since the process is dead', async () => {
    const { world, troupe, id, go } = await releasing();
    world.fail('runtime.delete');
    await go();
    expect(troupe.directory.container(id)).toMatchObject({ state: 'exited', criState: 'exited' });
    await troupe.stopContainer(id, 0, world.call());
    await troupe.removeContainer(id, world.call());
    expect(world.count('runtime.destroy')).toBe(1);
  });
});
