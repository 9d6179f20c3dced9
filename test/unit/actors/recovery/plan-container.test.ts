// The crash story of a container: each row of the table at the head of src/actors/recovery/plan.ts is a test here.
import { describe, expect, it } from 'vitest';
import type { JournalRecord } from '../../../../src/ports/journal.ts';
import type { RuntimeFacts } from '../../../../src/ports/runtime.ts';
import { emptyLedger, ledgerFold } from '../../../../src/actors/ledger/ledger.ts';
import { planContainer } from '../../../../src/actors/recovery/plan.ts';
import type { World } from '../../../../src/actors/recovery/plan.ts';
import { containerCreated, containerIntent, exit, process, sandboxIntent } from '../fixtures.ts';
import { NOW_MONO_MS, NOW_NS, id, ledgerOf, seen, world } from './plan-worlds.ts';

describe('container begins', () => {
  const created = [sandboxIntent({ handler: 'crun' }), containerIntent(), containerCreated()];
  const started: JournalRecord = { type: 'container.started', id, startedAtNs: 300n };
  const gone = { process: 'gone', init: undefined } as const;

  it('intent, anything: unwinding every step, unclaimed (F02)', () => {
    expect(planContainer(ledgerOf(containerIntent()), seen({}), id)).toMatchObject({
      entry: 'intent',
      begun: ['rootfs', 'runtime'],
      claimed: false,
      exit: undefined,
    });
  });

  it('created, exit file: finishing with its fact, whatever else is seen', () => {
    for (const now of [
      seen({ exitFile: exit }),
      seen({ ...gone, exitFile: exit }),
      { ...seen({ exitFile: exit }), host: { bootId: 'boot-2', sandboxes: [] } },
    ]) {
      expect(planContainer(ledgerOf(...created, started), now, id)).toMatchObject({
        entry: 'ended',
        exit,
        startedAtNs: 300n,
      });
    }
  });

  it('created, waits for start: created, with the handler of its sandbox', () => {
    expect(planContainer(ledgerOf(...created), seen({ process: 'created' }), id)).toMatchObject({
      entry: 'created',
      startedAtNs: undefined,
      claimed: true,
      init: process,
      handler: 'crun',
    });
  });

  it('created, runs: running', () => {
    expect(planContainer(ledgerOf(...created, started), seen({}), id)).toMatchObject({
      entry: 'running',
      startedAtNs: 300n,
    });
  });

  it('created, runs though its start was not recorded: running, never created again (F03)', () => {
    expect(planContainer(ledgerOf(...created), seen({}), id)).toMatchObject({
      entry: 'running',
      startedAtNs: NOW_NS,
    });
  });

  it.each([
    [NOW_NS + 2_500_000_000n, 2500],
    [NOW_NS - 1n, 0],
    [NOW_NS, 0],
  ])(
    'created, runs, a stop under way with KILL at %s: stopping with the %s ms that are left (F04)',
    (killAtNs, graceMs) => {
      const ledger = ledgerOf(...created, started, { type: 'container.stopping', id, killAtNs });
      expect(planContainer(ledger, seen({}), id)).toMatchObject({ entry: 'stopping', graceMs });
    },
  );

  it.each([
    [NOW_MONO_MS + 2500, 2500],
    [NOW_MONO_MS, 0],
    [NOW_MONO_MS - 1, 0],
  ])(
    'F78 the grace goes on by the monotonic clock (KILL at %s: %s ms), wherever the wall clock was set',
    (killAtMonoMs, graceMs) => {
      for (const killAtNs of [1n, NOW_NS, NOW_NS + 10n ** 18n]) {
        const ledger = ledgerOf(...created, started, {
          type: 'container.stopping',
          id,
          killAtNs,
          killAtMonoMs,
        });
        expect(planContainer(ledger, seen({}), id)).toMatchObject({ entry: 'stopping', graceMs });
      }
    },
  );

  it('F78 the reported time of an unrecorded start or end is never before the creation', () => {
    const late = ledgerOf({ ...containerIntent(), createdAtNs: NOW_NS + 7n }, containerCreated());
    expect(planContainer(late, seen({}), id)).toMatchObject({ entry: 'running', startedAtNs: NOW_NS + 7n });
    expect(planContainer(late, seen({ ...gone, monitorAlive: false }), id)).toMatchObject({
      entry: 'ended',
      startedAtNs: NOW_NS + 7n,
    });
  });

  it('created, gone, monitor lives: as it was; the watch reports', () => {
    expect(planContainer(ledgerOf(...created), seen(gone), id)).toMatchObject({
      entry: 'created',
      exit: undefined,
    });
    expect(planContainer(ledgerOf(...created, started), seen(gone), id)).toMatchObject({
      entry: 'running',
      exit: undefined,
    });
  });

  it('F29 created, lives, all its files are gone: as it was, or stopping; a file of its exit counts more', () => {
    const alive = new Set([id]);
    for (const now of [world({ alive }), { ...seen(gone), alive }]) {
      expect(planContainer(ledgerOf(...created), now, id)).toMatchObject({
        entry: 'created',
        exit: undefined,
      });
      expect(planContainer(ledgerOf(...created, started), now, id)).toMatchObject({
        entry: 'running',
        startedAtNs: 300n,
        exit: undefined,
      });
      const stopping = ledgerOf(...created, started, {
        type: 'container.stopping',
        id,
        killAtNs: 0n,
        killAtMonoMs: NOW_MONO_MS + 5,
      });
      expect(planContainer(stopping, now, id)).toMatchObject({ entry: 'stopping', graceMs: 5 });
    }
    expect(
      planContainer(ledgerOf(...created, started), { ...seen({ ...gone, exitFile: exit }), alive }, id),
    ).toMatchObject({ entry: 'ended', exit });
  });

  it('created, gone, no monitor: finishing, 255 Unknown', () => {
    for (const now of [seen({ ...gone, monitorAlive: false }), world()]) {
      expect(planContainer(ledgerOf(...created, started), now, id)).toMatchObject({
        entry: 'ended',
        startedAtNs: 300n,
        exit: { exitCode: 255, reason: 'Unknown', observedBy: 'recovery', finishedAtNs: NOW_NS },
      });
    }
  });

  it('I13 without a record of its start it may never have run, also for the boots after the record of its exit', () => {
    const lost = seen({ ...gone, monitorAlive: false });
    for (const now of [lost, seen({ ...gone, exitFile: exit })])
      expect(planContainer(ledgerOf(...created), now, id)).toMatchObject({
        entry: 'ended',
        startUnrecorded: true,
      });
    expect(planContainer(ledgerOf(...created, started), lost, id)?.startUnrecorded).toBeUndefined();
    const exited = { type: 'container.exited', id, exit, startedAtNs: 300n } as const;
    const unsure = ledgerOf(...created, { ...exited, startUnrecorded: true });
    for (const ledger of [unsure, ledgerOf(...ledgerFold.records(unsure))])
      expect(planContainer(ledger, lost, id)).toMatchObject({ entry: 'exited', startUnrecorded: true });
    expect(planContainer(ledgerOf(...created, exited), lost, id)?.startUnrecorded).toBeUndefined();
  });

  it('created, rebooted: finishing, 255 Unknown, even where a process has its pid again', () => {
    const now = { ...seen({}), host: { bootId: 'boot-2', sandboxes: [] } };
    expect(planContainer(ledgerOf(...created, started), now, id)).toMatchObject({
      entry: 'ended',
      exit: { exitCode: 255, message: 'exit code unknown: the machine was restarted' },
    });
  });

  describe('created, to be restored', () => {
    const restore = { from: { archive: '/c.tar' }, digest: 'sha256:0' };
    const intent = containerIntent();
    const made: readonly JournalRecord[] = [
      sandboxIntent(),
      { ...intent, spec: { ...intent.spec, restore } },
      { ...containerCreated(), init: undefined },
    ];
    const waits: World = {
      ...seen({ ...gone, monitorAlive: false, checkpoint: true }),
      storage: { layers: [], rootfs: [{ id, mounted: true }] },
    };
    const waiting = (part: Partial<RuntimeFacts>): World => ({
      ...seen({ ...gone, monitorAlive: false, checkpoint: true, ...part }),
      storage: waits.storage,
    });

    it('created while it does not run, also with a monitor that is about to end: the driver has undone what was cut off', () => {
      for (const now of [
        waits,
        waiting({ monitorAlive: true }),
        waiting({ monitorAlive: true, checkpoint: false }),
      ]) {
        expect(planContainer(ledgerOf(...made), now, id)).toMatchObject({
          entry: 'created',
          init: undefined,
          startedAtNs: undefined,
          claimed: true,
        });
      }
    });

    it.each([
      ['bundle', waiting({ leftovers: false })],
      ['bundle', world({ storage: waits.storage })],
      ['root file system', { ...waits, storage: { layers: [], rootfs: [{ id, mounted: false }] } }],
      ['root file system', { ...waits, storage: { layers: [], rootfs: [] } }],
      ['checkpoint', waiting({ checkpoint: false })],
    ])('F03 ended when its %s is gone, since its end had begun', (what, now) => {
      const message = `exit code unknown: its ${what} was gone when troupe started, and it had not been restored`;
      expect(planContainer(ledgerOf(...made), now, id)).toMatchObject({
        entry: 'ended',
        exit: { exitCode: 255, message },
      });
    });

    it('with the restored process once that is on record', () => {
      expect(planContainer(ledgerOf(...made), seen({}), id)).toMatchObject({
        entry: 'running',
        init: process,
        startedAtNs: NOW_NS,
      });
      const restored = ledgerOf(...made, { ...started, init: process });
      expect(planContainer(restored, seen({}), id)).toMatchObject({
        entry: 'running',
        init: process,
        startedAtNs: 300n,
      });
      expect(planContainer(restored, seen({ ...gone, monitorAlive: false }), id)).toMatchObject({
        entry: 'ended',
        init: process,
      });
      expect(ledgerOf(...ledgerFold.records(restored))).toEqual(restored);
    });
  });

  it('exited, leftovers: finishing again, with the recorded fact', () => {
    const ledger = ledgerOf(...created, { type: 'container.exited', id, exit, startedAtNs: 300n });
    const other = { ...exit, exitCode: 9 };
    expect(planContainer(ledger, seen({ ...gone, exitFile: other }), id)).toMatchObject({
      entry: 'unreleased',
      exit,
      startedAtNs: 300n,
    });
    const mounted = world({ storage: { layers: [], rootfs: [{ id, mounted: true }] } });
    expect(planContainer(ledger, mounted, id)).toMatchObject({ entry: 'unreleased', exit });
  });

  it('exited, clean: exited', () => {
    const ledger = ledgerOf(...created, { type: 'container.exited', id, exit, startedAtNs: 300n });
    const unmounted = world({ storage: { layers: [], rootfs: [{ id, mounted: false }] } });
    expect(planContainer(ledger, unmounted, id)).toMatchObject({ entry: 'exited', exit, startedAtNs: 300n });
  });

  it('updating, created or running: as above, and the update goes on (F09)', () => {
    const resources = { ...containerIntent().spec.resources, memoryLimitBytes: 1n << 26n };
    const updating: JournalRecord = { type: 'container.updating', id, opId: 'u1', resources };
    expect(planContainer(ledgerOf(...created, started, updating), seen({}), id)).toMatchObject({
      entry: 'running',
      interrupted: { opId: 'u1', change: resources },
    });
    const updated = planContainer(
      ledgerOf(...created, started, updating, { type: 'container.updated', id, resources }),
      seen({}),
      id,
    );
    expect(updated).toMatchObject({ entry: 'running', spec: { resources } });
    expect(updated?.interrupted).toBeUndefined();
  });

  it('unknown: nothing', () => {
    expect(planContainer(emptyLedger(), world(), id)).toBeUndefined();
  });

  it('F10: the plan depends on records and world only, so that a crash inside recovery changes nothing', () => {
    const ledger = ledgerOf(...created, started);
    const first = planContainer(ledger, seen({}), id);
    expect(planContainer(ledger, seen({}), id)).toEqual(first);
    expect(planContainer(ledgerOf(...ledgerFold.records(ledger)), seen({}), id)).toEqual(first);
  });
});
