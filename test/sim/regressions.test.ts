/** Bugs that seeds have found, each as the shortest story that shows it; all rows are checked after every step. */
import { describe, expect, it } from 'vitest';
import { fault, FaultError } from '../../src/base/fault.ts';
import type { SandboxFacts } from '../../src/actors/ledger/ledger.ts';
import type { ContainerId } from '../../src/base/ids.ts';
import type { ContainerSpec } from '../../src/ports/specs.ts';
import type { Failure } from './run.ts';
import { CHECKPOINT, LAYER_BYTES } from './storage-images-twins.ts';
import { die, runScenario } from './sweep.ts';
import type { Hook } from './sweep.ts';
import type { World } from './world.ts';

const refused = (): Promise<void> => Promise.reject(new FaultError(fault('outside', 'refused by the test')));

/** Acts at the n-th time (from 1) that the pair comes up. */
function at(pair: string, when: 'before' | 'after', nth: number, act: Hook): Hook {
  let seen = 0;
  return (number, now, what, world) => {
    if (now !== when || what !== pair) return undefined;
    seen += 1;
    return seen === nth ? act(number, now, what, world) : undefined;
  };
}

/** The first hook that has something to say. */
const first =
  (...hooks: readonly Hook[]): Hook =>
  (number, when, pair, world) => {
    for (const hook of hooks) {
      const said = hook(number, when, pair, world);
      if (said !== undefined) return said;
    }
    return undefined;
  };

const reported = (failure: Failure | undefined): string =>
  failure === undefined ? '' : `${failure.invariant} ${failure.detail}`;

describe('bugs found by the simulation', () => {
  it('I5 a container with a recorded exit is exited at once after a restart, whatever is left of it (seed 1)', async () => {
    let seen = false;
    const { failure } = await runScenario(
      0,
      first(
        at('StopContainer journal.append', 'after', 2, (_number, _when, _pair, world) => {
          seen = true;
          return die(world);
        }),
      ),
    );
    expect([seen, reported(failure)]).toStrictEqual([true, '']);
  });

  it('I5 a sandbox whose stop was not recorded before the crash was never reported as not ready (seed 8)', async () => {
    const { failure, world } = await runScenario(
      0,
      at('StopPodSandbox journal.append', 'before', 1, (_number, _when, _pair, now) => die(now)),
    );
    expect([world.crashes, reported(failure)]).toStrictEqual([1, '']);
  });

  it('I8 F21 an exit that the disk refused to record is recorded by the janitor (seeds 64, 153)', async () => {
    let recorded = false;
    const hook = first(
      at('StopContainer journal.append', 'before', 2, refused),
      // the second run of the container begins after it: by then two rounds of the janitor have passed
      at('CreateContainer storage.mountRootfs', 'before', 2, (_number, _when, _pair, world) =>
        world.sleep(25_000).then(() => {
          const [facts] = [...(world.ledger?.containers.values() ?? [])];
          recorded = facts?.exited !== undefined;
        }),
      ),
    );
    const { failure } = await runScenario(0, hook);
    expect([recorded, reported(failure)]).toStrictEqual([true, '']);
  });

  it('I5 F21 an exit that the disk refused to record, then a crash (seed 64)', async () => {
    const hook = first(
      at('StopContainer journal.append', 'before', 2, refused),
      at('CreateContainer storage.mountRootfs', 'before', 2, (_number, _when, _pair, world) => die(world)),
    );
    const { failure, world } = await runScenario(0, hook);
    expect([world.crashes, reported(failure)]).toStrictEqual([1, '']);
  });

  it('I2 layers whose removal failed after their image was removed are deleted by the janitor (seed 103)', async () => {
    let refusals = 0;
    const { failure } = await runScenario(
      0,
      at('RemoveImage storage.removeLayer', 'before', 1, () => {
        refusals += 1;
        return refused();
      }),
    );
    expect([refusals, reported(failure)]).toStrictEqual([1, '']);
  });

  it("I7 a removal waits for a slow append of the image's record, so that a late record finds its layers (seed 288)", async () => {
    const { failure, virtualMs } = await runScenario(
      0,
      at('PullImage journal.append', 'before', 1, (_number, _when, _pair, world) => world.sleep(120_000)),
    );
    expect(reported(failure)).toBe('');
    expect(virtualMs).toBeGreaterThan(120_000);
  });

  it('I13 F37 a container that ended before any client got its id is returned, not refused (seed 1295)', async () => {
    let killed = false;
    const hook = at('CreateContainer runtime.create', 'after', 1, (_number, _when, _pair, world) =>
      world.sleep(300).then(() => {
        const init = [...world.kernel.processes.values()].find((one) => one.kind === 'init');
        killed = init !== undefined;
        world.kernel.endInit((init?.owner ?? '') as ContainerId, 137);
      }),
    );
    const { failure } = await runScenario(4, hook, { duplicates: 0, deadlineMs: () => 100 });
    expect([killed, reported(failure)]).toStrictEqual([true, '']);
  });

  it('I13 F37 it is returned again to a repeated call (seed 41234)', async () => {
    const ids: unknown[] = [];
    const again = async (world: World): Promise<void> => {
      const view = world.troupe?.directory.containers()[0];
      if (view !== undefined)
        ids.push(
          await world
            .call('CreateContainer', 240_000, (troupe, call) => troupe.createContainer(view.spec, call))
            .catch(String),
        );
    };
    const hook = at('CreateContainer runtime.create', 'after', 1, (_number, _when, _pair, world) =>
      world.sleep(110).then(() => {
        for (const { kind, owner } of world.kernel.processes.values())
          if (kind === 'init') world.kernel.endInit(owner, 137);
        void world
          .sleep(40)
          .then(() => again(world))
          .then(() => again(world));
      }),
    );
    const { failure } = await runScenario(4, hook, { duplicates: 0, deadlineMs: () => 100 });
    expect(reported(failure)).toBe('');
    expect(ids).toStrictEqual([expect.stringMatching(/^[0-9a-f]{64}$/u), ids[0]]);
  });

  it('I13 F02 so is one that ended around a crash that cut its creation, also over the next crash (seeds 7858, 9085)', async () => {
    const ids: unknown[] = [];
    const again = async (world: World, spec: ContainerSpec): Promise<void> => {
      await world.sleep(1000);
      ids.push(
        await world
          .call('CreateContainer', 240_000, (troupe, call) => troupe.createContainer(spec, call))
          .catch(String),
      );
    };
    const hook = at('CreateContainer journal.append', 'after', 2, (_number, _when, _pair, world) => {
      const [view] = world.troupe?.directory.containers() ?? [];
      if (view === undefined) throw new Error('no container');
      ids.push(view.id);
      world.kernel.endInit(view.id, 137);
      void world
        .sleep(0)
        .then(() => again(world, view.spec))
        .then(() => world.crash({ power: false }))
        .then(() => again(world, view.spec));
      return die(world);
    });
    const { failure, world } = await runScenario(6, hook);
    expect([world.crashes, reported(failure)]).toStrictEqual([2, '']);
    expect(ids).toStrictEqual([expect.stringMatching(/^[0-9a-f]{64}$/u), ids[0], ids[0]]);
  });

  it('I1 F05 F21 a sandbox whose stop the disk refused to record is not ready after a kill behind the DEL (seeds 3906, 17)', async () => {
    const hook = first(
      at('StopPodSandbox journal.append', 'before', 1, refused),
      at('StopPodSandbox network.del', 'after', 1, (_number, _when, _pair, world) => die(world)),
    );
    const { failure, world } = await runScenario(0, hook);
    expect([world.crashes, reported(failure)]).toStrictEqual([1, '']);
  });

  it('F27 an image that lost a layer is forgotten at the start and pulled again (seed 61)', async () => {
    const hook = at('CreateContainer storage.mountRootfs', 'before', 1, (_number, _when, _pair, world) => {
      // the disk lost it: no promise of ours
      world.history.images.clear();
      world.kernel.layers.delete(`sha256:${'b'.repeat(64)}`);
      return die(world);
    });
    const { failure, world } = await runScenario(0, hook);
    expect([world.crashes, reported(failure)]).toStrictEqual([1, '']);
  });

  const bytes = Array.from({ length: LAYER_BYTES + 1 }, (_, byte) => byte);
  it.each(
    bytes.flatMap(
      (byte) =>
        [
          [byte, 'lives on'],
          [byte, 'dies'],
        ] as const,
    ),
  )(
    'F07 F60 after a registry breaks off at %i bytes of a layer and the daemon %s, no byte is sent twice',
    async (byte, then) => {
      const hook = first(
        at(
          'PullImage images.fetchLayer',
          'before',
          1,
          (_number, _when, _pair, world) => void (world.kernel.breaksOffAt = byte),
        ),
        at('PullImage images.fetchLayer', 'after', 1, (_number, _when, _pair, world) =>
          then === 'dies' ? die(world) : undefined,
        ),
      );
      const { failure, world } = await runScenario(0, hook);
      expect([world.crashes, reported(failure), world.kernel.breaksOffAt]).toStrictEqual([
        then === 'dies' ? 1 : 0,
        '',
        undefined,
      ]);
      // an image that was removed is fetched again, as a whole
      expect([...world.kernel.served.values()].filter((sent) => sent % LAYER_BYTES !== 0)).toStrictEqual([]);
    },
  );

  it.each([
    ['the pause process', 1, 'pause'],
    ['the network namespace', 0, 'net'],
    ['the IPC namespace', 0, 'ipc'],
  ] as const)(
    'F57 F85 I10 a ready sandbox that loses %s is not ready within 5 s; the next attempt runs',
    async (_what, scenario, part) => {
      let ready: boolean | undefined;
      const hook = at('StartContainer journal.append', 'after', 1, (_number, _when, _pair, world) => {
        const [sandbox] = world.troupe?.directory.sandboxes() ?? [];
        if (sandbox !== undefined) world.kernel.breakSandbox(sandbox.id, part);
        return world.sleep(5000).then(() => {
          ready = sandbox === undefined ? undefined : world.troupe?.directory.sandbox(sandbox.id)?.ready;
        });
      });
      const { failure } = await runScenario(scenario, hook);
      expect([ready, reported(failure)]).toStrictEqual([false, '']);
    },
  );

  it('I15 the undo of an interrupted checkpoint survives a power loss after it: no part comes back (seeds 1223, 20099, 20471)', async () => {
    const hook = first(
      at('CheckpointContainer criu.pack', 'after', 1, (_number, _when, _pair, world) => die(world)),
      at('start criu.undo', 'after', 1, (_number, _when, _pair, world) => die(world, true)),
    );
    const { failure, world } = await runScenario(32, hook);
    expect([world.crashes, world.powerLosses, reported(failure)]).toStrictEqual([2, 1, '']);
  });

  it('I15 a checkpoint of a pod interrupted by a power loss leaves all archives or none', async () => {
    const hook = at('CheckpointPod criu.publish', 'after', 1, (_number, _when, _pair, world) =>
      die(world, true),
    );
    const { failure, world } = await runScenario(34, hook);
    expect([world.powerLosses, reported(failure)]).toStrictEqual([1, '']);
  });

  it('I2 F94 a root file system that a power loss has brought back after its removal was recorded is deleted at the next start (seed 36)', async () => {
    let back = 0;
    const hook = at('RemoveContainer journal.append', 'after', 1, (_number, _when, _pair, world) => {
      const removed = [...world.kernel.unsynced.rootfs];
      const dying = die(world, true);
      for (const [id, { rootfs }] of removed) {
        world.kernel.rootfs.set(id, { ...rootfs, mounted: false });
        world.kernel.unsynced.back.add(id);
      }
      back = removed.length;
      return dying;
    });
    const { failure, world } = await runScenario(0, hook);
    expect([back, world.powerLosses, reported(failure)]).toStrictEqual([1, 1, '']);
  });

  it('I7 I13 F05 the pod of a failed RestorePod is removed also over a crash, and its name is free for the repeated call (seed 359)', async () => {
    const ids: unknown[] = [];
    let removed: SandboxFacts | undefined;
    const again = async (world: World, { intent: { spec } }: SandboxFacts): Promise<void> => {
      await world.sleep(300);
      ids.push(
        await world
          .call('RunPodSandbox', 240_000, (troupe, call) => troupe.runSandbox(spec, call))
          .catch(String),
      );
    };
    const { failure, world } = await runScenario(36, (_number, when, pair, now) => {
      if (removed !== undefined || when !== 'after' || pair !== 'RestorePod journal.append') return undefined;
      removed = [...(now.ledger?.sandboxes.values() ?? [])].find(({ removal }) => removal);
      if (removed === undefined) return undefined;
      void again(now, removed);
      return die(now);
    });
    expect([world.crashes, reported(failure)]).toStrictEqual([1, '']);
    expect(ids).toStrictEqual([expect.stringMatching(/^[0-9a-f]{64}$/u)]);
    expect(ids).not.toContain(removed?.intent.id);
  });

  it('F08 the layer of a checkpoint image removed during CreateContainer from it stays until it is read, and is deleted then', async () => {
    let images = -1;
    const hook = at('CreateContainer criu.import', 'before', 1, (_number, _when, _pair, world) => {
      world.history.images.clear();
      const call = {
        cause: { requestId: 'other', origin: 'RemoveImage' },
        signal: new AbortController().signal,
        deadlineMonoMs: undefined,
      };
      return world.troupe?.removeImage(CHECKPOINT, call).then(() => void (images = world.kernel.layers.size));
    });
    const { failure } = await runScenario(33, hook);
    expect([images, reported(failure)]).toStrictEqual([3, '']);
  });

  it.each([
    // StartContainer has been answered: the exit is shown before the release has ended
    ['its root file system', 'idle storage.unmountRootfs'],
    ['its checkpoint', 'StartContainer criu.dropImages'],
  ])(
    'I1 a container whose restore failed has ended, also after a kill between the deletion of %s and the record of its end (seeds 5652, 16560)',
    async (_what, step) => {
      const hook = first(
        at('StartContainer criu.unmark', 'before', 1, refused),
        at('StartContainer journal.append', 'before', 1, refused),
        at(step, 'after', 1, (_number, _when, _pair, world) => die(world)),
      );
      const { failure, world } = await runScenario(33, hook);
      expect([world.crashes, reported(failure)]).toStrictEqual([1, '']);
    },
  );
});
