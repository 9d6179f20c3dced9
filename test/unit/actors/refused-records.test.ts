// What the disk refuses to record, or records too late for the call: what is reported, and who has the name.
import { describe, expect, it } from 'vitest';
import { actorLimits } from '../../../src/actors/bounds.ts';
import type { ContainerSpec } from '../../../src/ports/specs.ts';
import { EasyWorld } from './easy-ports.ts';
import { turns } from '../../support/turns.ts';
import { containerSpec, exit as exitFact, imageRecord, ofKind, sandboxSpec } from './fixtures.ts';

const caught = (thrown: unknown): unknown => thrown;

async function withSandbox() {
  const world = await EasyWorld.serving();
  const sandboxId = await world.troupe.runSandbox(sandboxSpec(), world.call());
  const spec = containerSpec({ key: { sandboxId, name: 'nginx', attempt: 0 } });
  world.asked.length = 0;
  return { world, troupe: world.troupe, spec };
}

function keyed(spec: ContainerSpec, name: string): ContainerSpec {
  return { ...spec, key: { ...spec.key, name } };
}

describe('a name whose commit is not withdrawn', () => {
  it('I4: of a sandbox is not free, since a start would bring it back, until it is withdrawn (sim seed 7523)', async () => {
    const world = await EasyWorld.serving();
    const go = world.hold('journal sandbox.ready');
    const first = world.troupe.runSandbox(sandboxSpec(), world.call()).catch(caught);
    await turns();
    const [view] = world.troupe.directory.sandboxes();
    if (view === undefined) throw new Error('no sandbox');
    const removed = world.troupe.removeSandbox(view.id, world.call()).catch(caught);
    world.fail('journal sandbox.intent');
    world.fail('journal sandbox.removed');
    await go();
    expect([await first, await removed]).toEqual([ofKind('outside'), ofKind('outside')]);
    world.fix('journal sandbox.intent');
    await expect(world.troupe.runSandbox(sandboxSpec(), world.call())).rejects.toMatchObject({
      fault: {
        kind: 'outside',
        message: expect.stringContaining(
          'has this name and its removal fails: journal sandbox.intent: refused',
        ) as string,
      },
    });
    expect(world.troupe.directory.sandboxes()).toHaveLength(1);
    // withdrawn by now: a start would undo it
    const id = await world.troupe.runSandbox(sandboxSpec(), world.call());
    expect(id).not.toBe(view.id);
    expect(world.troupe.directory.sandboxes()).toMatchObject([
      { id: view.id, state: 'cleanupPending' },
      { id, ready: true },
    ]);
  });

  it('I1: of a sandbox keeps all that it has, since a start would find it ready, until it is withdrawn', async () => {
    const world = await EasyWorld.serving();
    const go = world.hold('journal sandbox.ready');
    const first = world.troupe.runSandbox(sandboxSpec(), world.call()).catch(caught);
    await turns();
    world.fail('journal sandbox.ready');
    world.fail('journal sandbox.intent');
    world.asked.length = 0;
    await go();
    expect(await first).toEqual(ofKind('outside'));
    expect(world.asked.filter((one) => one.startsWith('host') || one.startsWith('network'))).toEqual([]);
    world.fix('journal sandbox.intent');
    const [view] = world.troupe.directory.sandboxes();
    if (view === undefined) throw new Error('no sandbox');
    await world.troupe.removeSandbox(view.id, world.call());
    const [intent, ...undone] = world.asked.filter((one) => !one.startsWith('journal sandbox.ready'));
    expect([intent, undone.length > 0]).toEqual(['journal sandbox.intent', true]);
    expect(world.troupe.directory.sandboxes()).toEqual([]);
  });

  it('I4: of a container is not free until its end is recorded', async () => {
    const { world, troupe, spec } = await withSandbox();
    // refused, and the cut may be refused as well: a start would read it
    world.fail('journal container.created');
    world.fail('journal container.removed');
    await expect(troupe.createContainer(spec, world.call())).rejects.toThrow(ofKind('outside'));
    world.fix('journal container.created');
    await expect(troupe.createContainer(spec, world.call())).rejects.toMatchObject({
      fault: {
        kind: 'outside',
        message: expect.stringContaining('has this name and its removal fails') as string,
      },
    });
    world.fix('journal container.removed');
    const id = await troupe.createContainer(spec, world.call());
    expect(troupe.directory.containers()).toMatchObject([{ id, state: 'created' }]);
  });
});

describe('StopPodSandbox', () => {
  it('F25 I7: ends the processes although the journal does not answer, and undoes nothing without the record', async () => {
    const { world, troupe, spec } = await withSandbox();
    const id = await troupe.createContainer(spec, world.call());
    await troupe.startContainer(id, world.call());
    const go = world.hold('journal sandbox.stopping');
    const stopped = troupe.stopSandbox(spec.key.sandboxId, world.call());
    await world.clock.advance(actorLimits.stopRecordMs - 1);
    expect(world.count('runtime.killAll') + world.count('runtime.kill')).toBe(0);
    await world.clock.advance(1);
    expect(world.count('runtime.killAll') + world.count('runtime.kill')).toBeGreaterThan(0);
    world.exits(id, exitFact);
    await turns();
    expect(world.count('network.del')).toBe(0);
    await go();
    await stopped;
    expect([world.count('network.del'), troupe.directory.sandbox(spec.key.sandboxId)?.ready]).toEqual([
      1,
      false,
    ]);
  });

  it('F25 I7: takes no container from the call on, although the pod is shown ready until the stop is on record', async () => {
    const { world, troupe, spec } = await withSandbox();
    const sandbox = spec.key.sandboxId;
    const refused = {
      fault: { kind: 'wrongState', message: expect.stringContaining('not ready') as string },
    };
    const waiting = await troupe.createContainer(spec, world.call());
    // let in before the stop, and held by its check of the image until after it
    const admitted = world.hold('policy.admitAgain');
    const late = troupe.createContainer(keyed(spec, 'late'), world.call()).catch(caught);
    await turns();
    const go = world.hold('journal sandbox.stopping');
    const stopped = troupe.stopSandbox(sandbox, world.call());
    const inState = async (path: string) => {
      await turns();
      expect(troupe.directory.sandbox(sandbox)).toMatchObject({ path, ready: true });
      await expect(troupe.createContainer(keyed(spec, 'other'), world.call())).rejects.toMatchObject(refused);
      await expect(troupe.createContainer(spec, world.call())).rejects.toMatchObject(refused);
    };
    await admitted();
    expect(await late).toMatchObject(refused);
    await inState('stopping.leaving');
    await expect(troupe.startContainer(waiting, world.call())).rejects.toMatchObject(refused);
    await world.clock.advance(actorLimits.stopRecordMs);
    await inState('stopping.containersFirst');
    world.exits(waiting, exitFact);
    await inState('stopping.confirming');
    expect(troupe.directory.containers()).toMatchObject([{ id: waiting, criState: 'exited' }]);
    await go();
    await stopped;
    expect(troupe.directory.sandbox(sandbox)).toMatchObject({ state: 'notReady', fault: undefined });
  });

  it('F21: one whose record was refused leaves a pod that takes no container and can be stopped again', async () => {
    const { world, troupe, spec } = await withSandbox();
    const sandbox = spec.key.sandboxId;
    world.fail('journal sandbox.stopping');
    await expect(troupe.stopSandbox(sandbox, world.call())).rejects.toThrow(ofKind('outside'));
    await expect(troupe.createContainer(spec, world.call())).rejects.toThrow(ofKind('wrongState'));
    world.fix('journal sandbox.stopping');
    await troupe.stopSandbox(sandbox, world.call());
    await troupe.removeSandbox(sandbox, world.call());
    expect(troupe.directory.sandboxes()).toEqual([]);
  });
});

describe('a pod whose stop is tried again', () => {
  it('F25: has its containers ended before the journal is written, and nothing undone without it', async () => {
    const { world, troupe, spec } = await withSandbox();
    const sandbox = spec.key.sandboxId;
    const id = await troupe.createContainer(spec, world.call());
    await troupe.startContainer(id, world.call());
    // as long as its container does not end
    const failed = troupe.stopSandbox(sandbox, world.call()).catch(caught);
    await turns();
    await world.clock.advance(3_600_000);
    expect(await failed).toEqual(ofKind('timedOut'));
    const go = world.hold('journal sandbox.stopping');
    const stopped = troupe.stopSandbox(sandbox, world.call());
    await turns();
    expect(troupe.directory.sandbox(sandbox)).toMatchObject({
      ready: false,
      path: 'stopping.containersAgain',
    });
    world.exits(id, { ...exitFact, finishedAtNs: 10n ** 15n });
    await turns();
    expect([troupe.directory.sandbox(sandbox)?.path, world.count('network.del')]).toEqual([
      'stopping.recording',
      0,
    ]);
    await go();
    await stopped;
    expect(world.count('network.del')).toBe(1);
  });
});

describe('StopContainer', () => {
  const running = async () => {
    const pod = await withSandbox();
    const id = await pod.troupe.createContainer(pod.spec, pod.world.call());
    return { ...pod, id };
  };
  const kills = (world: EasyWorld) => world.count('runtime.killAll') + world.count('runtime.kill');

  it('F25 I7: ends a process whose start record hangs; the start is answered once the end is on record', async () => {
    const { world, troupe, id } = await running();
    const go = world.hold('journal container.started');
    let reported = 'waits';
    const started = troupe.startContainer(id, world.call()).then(() => {
      reported = 'started';
    });
    await turns();
    const stopped = troupe.stopContainer(id, 10_000, world.call());
    await world.clock.advance(actorLimits.stopRecordMs - 1);
    expect(kills(world)).toBe(0);
    await world.clock.advance(1);
    expect([kills(world), troupe.directory.container(id)?.criState, reported]).toEqual([
      1,
      'created',
      'waits',
    ]);
    const goOn = world.hold('journal container.exited');
    world.exits(id, { ...exitFact, finishedAtNs: 10n ** 15n });
    await turns();
    expect([troupe.directory.container(id)?.criState, reported]).toEqual(['created', 'waits']);
    await goOn();
    await Promise.all([started, stopped]);
    expect(troupe.directory.container(id)).toMatchObject({
      criState: 'exited',
      exit: { exitCode: exitFact.exitCode },
    });
    await go();
  });

  it('F25: does not wait again when the record of a start is already late', async () => {
    const { world, troupe, id } = await running();
    world.hold('journal container.started');
    void troupe.startContainer(id, world.call());
    await turns();
    await world.clock.advance(actorLimits.stopRecordMs);
    expect(troupe.directory.container(id)?.path).toBe('starting.recording');
    const stopped = troupe.stopContainer(id, 10_000, world.call());
    await turns();
    expect(world.count('runtime.kill')).toBe(1);
    world.exits(id, { ...exitFact, finishedAtNs: 10n ** 15n });
    await stopped;
  });

  it.each(['journal container.updating', 'journal container.updated'])(
    'F25 I7: ends a process whose update waits for %s; the update fails',
    async (record) => {
      const { world, troupe, spec, id } = await running();
      await troupe.startContainer(id, world.call());
      const go = world.hold(record);
      const updated = troupe
        .updateContainer(id, { ...spec.resources, cpuShares: 77n }, world.call())
        .catch(caught);
      await turns();
      const stopped = troupe.stopContainer(id, 10_000, world.call());
      await world.clock.advance(actorLimits.stopRecordMs - 1);
      expect(kills(world)).toBe(0);
      await world.clock.advance(1);
      expect(kills(world)).toBe(1);
      world.exits(id, { ...exitFact, finishedAtNs: 10n ** 15n });
      await stopped;
      expect(await updated).toEqual(ofKind('wrongState'));
      await go();
    },
  );
});

describe('UpdateContainerResources', () => {
  it('I10 F09: whose end the disk refuses to record fails; its limits stay and are reported, since a start would set them (sim seed 9388)', async () => {
    const { world, troupe, spec } = await withSandbox();
    const id = await troupe.createContainer(spec, world.call());
    const change = { ...spec.resources, cpuShares: 77n };
    world.fail('journal container.updated');
    await expect(troupe.updateContainer(id, change, world.call())).rejects.toThrow(ofKind('outside'));
    expect(world.count('runtime.update')).toBe(1);
    expect(troupe.directory.container(id)?.spec.resources.cpuShares).toBe(77n);
    expect(world.ledger.containers.get(id)?.updating?.resources.cpuShares).toBe(77n);
  });
});

describe('a refusal that waits for the exit', () => {
  it('I10: names it at the deadline, also before the exit is reported (sim seed 352)', async () => {
    const { world, troupe, spec } = await withSandbox();
    const id = await troupe.createContainer(spec, world.call());
    await troupe.startContainer(id, world.call());
    world.fail('runtime.update');
    world.pauseAlive = false;
    const updated = troupe.updateContainer(id, spec.resources, world.call(1000)).catch(caught);
    await turns();
    await world.clock.advance(1000);
    expect(await updated).toMatchObject({
      fault: {
        kind: 'timedOut',
        message: expect.stringMatching(
          /deadline passed in state running, waiting on its exit code;/,
        ) as string,
      },
    });
  });
});

describe('ExecSync', () => {
  it('I12 F71: is refused once the end is known, also while its record is written, and answers with the end when status shows it (sim seed 12172)', async () => {
    const { world, troupe, spec } = await withSandbox();
    const id = await troupe.createContainer(spec, world.call());
    await troupe.startContainer(id, world.call());
    const go = world.hold('journal container.exited');
    world.exits(id, { ...exitFact, finishedAtNs: 10n ** 15n });
    await turns();
    expect(troupe.directory.container(id)).toMatchObject({ state: 'finishing', criState: 'running' });
    const refused = expect(troupe.execSync(id, ['true'], 1000, world.call())).rejects.toThrow(
      ofKind('wrongState'),
    );
    await turns();
    await go();
    await refused;
    expect(troupe.directory.container(id)?.criState).toBe('exited');
    expect(world.count('runtime.execSync')).toBe(0);
  });
});

describe('RemoveImage', () => {
  it('I7: waits for the record of an abandoned pull, which would bring the image back (sim seed 14944)', async () => {
    const world = await EasyWorld.serving();
    const {
      id,
      repoTags: [reference = ''],
    } = imageRecord();
    await world.troupe.removeImage(id, world.call());
    const go = world.hold('journal image.present');
    const pulled = world.troupe
      .pullImage({ reference, auth: undefined, namespace: '' }, world.call(10))
      .catch(caught);
    await turns();
    await world.clock.advance(10);
    expect(await pulled).toEqual(ofKind('timedOut'));
    const removals = [
      world.troupe.removeImage(reference, world.call()),
      world.troupe.removeImage(id, world.call()),
    ];
    await turns();
    await go();
    await Promise.all(removals);
    expect(world.troupe.images()).toEqual([]);
    expect(world.asked.lastIndexOf('journal image.removed')).toBeGreaterThan(
      world.asked.lastIndexOf('journal image.present'),
    );
  });
});
