// The crash story: each row of the table at the head of src/actors/recovery/plan.ts is a test here.
import { describe, expect, it } from 'vitest';
import type { JournalRecord } from '../../../src/actors/ports/journal.ts';
import type { RuntimeFacts } from '../../../src/actors/ports/runtime.ts';
import { emptyLedger, ledgerFold } from '../../../src/actors/recovery/ledger.ts';
import type { Ledger } from '../../../src/actors/recovery/ledger.ts';
import { observeWorld } from '../../../src/actors/recovery/observe.ts';
import { planContainer, planSandbox } from '../../../src/actors/recovery/plan.ts';
import type { World } from '../../../src/actors/recovery/plan.ts';
import { containerCreated, containerId, containerIntent, exit, process, sandboxId, sandboxIntent, sandboxReady } from './fixtures.ts';

const sid = sandboxId();
const id = containerId();
const NOW_NS = 5_000_000_000n;
const NOW_MONO_MS = 70_000;

function ledgerOf(...records: readonly JournalRecord[]): Ledger {
  const ledger = emptyLedger();
  for (const record of records) ledgerFold.apply(ledger, record);
  return ledger;
}

/** A machine on which everything is as the records say, changed by `part`. */
function world(part: Partial<World> = {}): World {
  return {
    nowNs: NOW_NS,
    nowMonoMs: NOW_MONO_MS,
    host: { bootId: process.bootId, sandboxes: [{ id: sid, pins: ['net', 'ipc', 'uts'], files: true }] },
    containers: new Map(), alive: new Set(), pauses: new Map(), storage: { layers: [], rootfs: [] }, networks: new Set([sid]),
    ...part,
  };
}

const seen = (part: Partial<RuntimeFacts>): World =>
  world({ containers: new Map([[id, { id, process: 'running', init: process, monitorAlive: true, exitFile: undefined, leftovers: true, checkpoint: false, ...part }]]) });

const ALL = ['files', 'cgroup', 'namespaces', 'network'];

describe('sandbox begins', () => {
  const ready = [sandboxIntent(), sandboxReady()];

  it('intent, anything: unwinding every step, unclaimed (F01)', () => {
    for (const now of [world(), world({ host: { bootId: 'other', sandboxes: [] } })]) {
      expect(planSandbox(ledgerOf(sandboxIntent()), now, sid)).toMatchObject({ entry: 'intent', begun: ALL, claimed: false });
    }
  });

  it('ready, namespaces there: ready, claimed, with its addresses', () => {
    expect(planSandbox(ledgerOf(...ready), world(), sid)).toMatchObject({ entry: 'ready', begun: ALL, claimed: true, ips: ['10.62.0.2'] });
  });

  it.each([
    ['no pin', []],
    ['the network namespace is missing', ['ipc', 'uts']],
    ['the IPC namespace is missing', ['net', 'uts']],
  ] as const)('ready, %s: notReady, every step owed', (_what, pins) => {
    const now = world({ host: { bootId: process.bootId, sandboxes: [{ id: sid, pins, files: true }] } });
    expect(planSandbox(ledgerOf(...ready), now, sid)).toMatchObject({ entry: 'stopping', begun: ALL });
  });

  it('ready, with a user namespace: that one must be there, too', () => {
    const ids = { containerId: 0, hostId: 70_000, length: 65_536 };
    const mapped = sandboxIntent({ namespaces: { network: 'pod', ipc: 'pod', pid: 'container', targetId: undefined, user: { uids: ids, gids: ids } } });
    const pinned = (...pins: readonly ('net' | 'ipc' | 'uts' | 'user')[]): World => world({ host: { bootId: process.bootId, sandboxes: [{ id: sid, pins, files: true }] } });
    const ledger = ledgerOf(mapped, sandboxReady());
    expect(planSandbox(ledger, pinned('net', 'ipc', 'uts', 'user'), sid)).toMatchObject({ entry: 'ready' });
    expect(planSandbox(ledger, pinned('net', 'ipc', 'uts'), sid)).toMatchObject({ entry: 'stopping', begun: ALL });
  });

  it('ready, its network was deleted by a stop whose record the disk refused: notReady, every step owed', () => {
    expect(planSandbox(ledgerOf(...ready), world({ networks: new Set() }), sid)).toMatchObject({ entry: 'stopping', begun: ALL });
  });

  it('ready, rebooted: notReady, every step owed', () => {
    const now = world({ host: { bootId: 'boot-2', sandboxes: [] } });
    expect(planSandbox(ledgerOf(...ready), now, sid)).toMatchObject({ entry: 'stopping', begun: ALL });
  });

  it('ready on the host\'s network and IPC: needs no pin', () => {
    const onHost = sandboxIntent({ namespaces: { network: 'node', ipc: 'node', pid: 'container', targetId: undefined } });
    const now = world({ host: { bootId: process.bootId, sandboxes: [] } });
    expect(planSandbox(ledgerOf(onHost, sandboxReady()), now, sid)).toMatchObject({ entry: 'ready', begun: ['files', 'cgroup', 'namespaces'] });
  });

  it('ready with a pause process: ready while that very process is there, else every step owed', () => {
    const shared = sandboxIntent({ namespaces: { network: 'pod', ipc: 'pod', pid: 'pod', targetId: undefined } });
    const ledger = ledgerOf(shared, sandboxReady(process));
    const pausing = (pid: number): World => world({ pauses: new Map([[sid, { id: sid, process: { ...process, pid } }]]) });
    expect(planSandbox(ledger, pausing(process.pid), sid)).toMatchObject({ entry: 'ready', begun: [...ALL, 'pause'] });
    expect(planSandbox(ledger, pausing(1), sid)).toMatchObject({ entry: 'stopping' });
    expect(planSandbox(ledger, world({ pauses: new Map([[sid, { id: sid, process: undefined }]]) }), sid)).toMatchObject({ entry: 'stopping' });
    expect(planSandbox(ledger, world(), sid)).toMatchObject({ entry: 'stopping' });
  });

  it('F89: ready with a pause process whose files can not be read: ready while the kernel has it by its record', async () => {
    const shared = sandboxIntent({ namespaces: { network: 'pod', ipc: 'pod', pid: 'pod', targetId: undefined } });
    const ledger = ledgerOf(shared, sandboxReady(process));
    const entryOf = async (isUnreadable: boolean, lives: boolean): Promise<string | undefined> => {
      const pauses = [{ id: sid, process: undefined, ...(isUnreadable ? { isUnreadable } : {}) }];
      const { host, storage } = world();
      const ports = {
        clock: { nowNs: () => NOW_NS, monoMs: () => NOW_MONO_MS },
        host: { observe: async () => host }, storage: { observe: async () => storage }, network: { observe: async () => [sid] },
        runtime: { observe: async () => ({ containers: [], pauses }), isAlive: (one: unknown) => lives && one === process },
      } as never;
      return planSandbox(ledger, await observeWorld(ports, ledger, { signal: new AbortController().signal, timeoutMs: 1, note: () => undefined }), sid)?.entry;
    };
    expect([await entryOf(true, true), await entryOf(true, false), await entryOf(false, true)]).toEqual(['ready', 'stopping', 'stopping']);
  });

  it('stopping, anything: notReady, every step owed (F05)', () => {
    expect(planSandbox(ledgerOf(...ready, { type: 'sandbox.stopping', id: sid }), world(), sid)).toMatchObject({ entry: 'stopping', begun: ALL });
  });

  it('stopped, anything: notReady, what the record owes and no other word in it', () => {
    const stopped = (owed: readonly string[]): Ledger => ledgerOf(...ready, { type: 'sandbox.stopped', id: sid, owed });
    expect(planSandbox(stopped(['network', 'files', 'of a later version']), world(), sid)).toMatchObject({ entry: 'stopped', begun: ['files', 'network'] });
    expect(planSandbox(stopped([]), world(), sid)).toMatchObject({ entry: 'stopped', begun: [] });
  });

  it('unknown: nothing', () => {
    expect(planSandbox(emptyLedger(), world(), sid)).toBeUndefined();
  });
});

describe('container begins', () => {
  const created = [sandboxIntent({ handler: 'crun' }), containerIntent(), containerCreated()];
  const started: JournalRecord = { type: 'container.started', id, startedAtNs: 300n };
  const gone = { process: 'gone', init: undefined } as const;

  it('intent, anything: unwinding every step, unclaimed (F02)', () => {
    expect(planContainer(ledgerOf(containerIntent()), seen({}), id)).toMatchObject({ entry: 'intent', begun: ['rootfs', 'runtime'], claimed: false, exit: undefined });
  });

  it('created, exit file: finishing with its fact, whatever else is seen', () => {
    for (const now of [seen({ exitFile: exit }), seen({ ...gone, exitFile: exit }), { ...seen({ exitFile: exit }), host: { bootId: 'boot-2', sandboxes: [] } }]) {
      expect(planContainer(ledgerOf(...created, started), now, id)).toMatchObject({ entry: 'ended', exit, startedAtNs: 300n });
    }
  });

  it('created, waits for start: created, with the handler of its sandbox', () => {
    expect(planContainer(ledgerOf(...created), seen({ process: 'created' }), id)).toMatchObject({ entry: 'created', startedAtNs: undefined, claimed: true, init: process, handler: 'crun' });
  });

  it('created, runs: running', () => {
    expect(planContainer(ledgerOf(...created, started), seen({}), id)).toMatchObject({ entry: 'running', startedAtNs: 300n });
  });

  it('created, runs though its start was not recorded: running, never created again (F03)', () => {
    expect(planContainer(ledgerOf(...created), seen({}), id)).toMatchObject({ entry: 'running', startedAtNs: NOW_NS });
  });

  it.each([
    [NOW_NS + 2_500_000_000n, 2500],
    [NOW_NS - 1n, 0],
    [NOW_NS, 0],
  ])('created, runs, a stop under way with KILL at %s: stopping with the %s ms that are left (F04)', (killAtNs, graceMs) => {
    const ledger = ledgerOf(...created, started, { type: 'container.stopping', id, killAtNs });
    expect(planContainer(ledger, seen({}), id)).toMatchObject({ entry: 'stopping', graceMs });
  });

  it.each([
    [NOW_MONO_MS + 2500, 2500],
    [NOW_MONO_MS, 0],
    [NOW_MONO_MS - 1, 0],
  ])('F78 the grace goes on by the monotonic clock (KILL at %s: %s ms), wherever the wall clock was set', (killAtMonoMs, graceMs) => {
    for (const killAtNs of [1n, NOW_NS, NOW_NS + 10n ** 18n]) {
      const ledger = ledgerOf(...created, started, { type: 'container.stopping', id, killAtNs, killAtMonoMs });
      expect(planContainer(ledger, seen({}), id)).toMatchObject({ entry: 'stopping', graceMs });
    }
  });

  it('F78 what is told of a start or an end that nobody recorded is never before the creation', () => {
    const late = ledgerOf({ ...containerIntent(), createdAtNs: NOW_NS + 7n }, containerCreated());
    expect(planContainer(late, seen({}), id)).toMatchObject({ entry: 'running', startedAtNs: NOW_NS + 7n });
    expect(planContainer(late, seen({ ...gone, monitorAlive: false }), id)).toMatchObject({ entry: 'ended', startedAtNs: NOW_NS + 7n });
  });

  it('created, gone, monitor lives: as it was; the watch tells', () => {
    expect(planContainer(ledgerOf(...created), seen(gone), id)).toMatchObject({ entry: 'created', exit: undefined });
    expect(planContainer(ledgerOf(...created, started), seen(gone), id)).toMatchObject({ entry: 'running', exit: undefined });
  });

  it('F29 created, lives, all its files are gone: as it was, or stopping; a file of its exit counts more', () => {
    const alive = new Set([id]);
    for (const now of [world({ alive }), { ...seen(gone), alive }]) {
      expect(planContainer(ledgerOf(...created), now, id)).toMatchObject({ entry: 'created', exit: undefined });
      expect(planContainer(ledgerOf(...created, started), now, id)).toMatchObject({ entry: 'running', startedAtNs: 300n, exit: undefined });
      const stopping = ledgerOf(...created, started, { type: 'container.stopping', id, killAtNs: 0n, killAtMonoMs: NOW_MONO_MS + 5 });
      expect(planContainer(stopping, now, id)).toMatchObject({ entry: 'stopping', graceMs: 5 });
    }
    expect(planContainer(ledgerOf(...created, started), { ...seen({ ...gone, exitFile: exit }), alive }, id)).toMatchObject({ entry: 'ended', exit });
  });

  it('created, gone, no monitor: finishing, 255 Unknown', () => {
    for (const now of [seen({ ...gone, monitorAlive: false }), world()]) {
      expect(planContainer(ledgerOf(...created, started), now, id)).toMatchObject({
        entry: 'ended', startedAtNs: 300n, exit: { exitCode: 255, reason: 'Unknown', observedBy: 'recovery', finishedAtNs: NOW_NS },
      });
    }
  });

  it('created, rebooted: finishing, 255 Unknown, even where a process has its pid again', () => {
    const now = { ...seen({}), host: { bootId: 'boot-2', sandboxes: [] } };
    expect(planContainer(ledgerOf(...created, started), now, id)).toMatchObject({ entry: 'ended', exit: { exitCode: 255, message: 'exit code unknown: the machine was restarted' } });
  });

  describe('created, to be restored', () => {
    const restore = { from: { archive: '/c.tar' }, digest: 'sha256:0' };
    const intent = containerIntent();
    const made: readonly JournalRecord[] = [sandboxIntent(), { ...intent, spec: { ...intent.spec, restore } }, { ...containerCreated(), init: undefined }];
    const waits: World = { ...seen({ ...gone, monitorAlive: false, checkpoint: true }), storage: { layers: [], rootfs: [{ id, mounted: true }] } };
    const waiting = (part: Partial<RuntimeFacts>): World => ({ ...seen({ ...gone, monitorAlive: false, checkpoint: true, ...part }), storage: waits.storage });

    it('created while it does not run, also with a monitor that is about to end: the driver has undone what was cut off', () => {
      for (const now of [waits, waiting({ monitorAlive: true }), waiting({ monitorAlive: true, checkpoint: false })]) {
        expect(planContainer(ledgerOf(...made), now, id)).toMatchObject({ entry: 'created', init: undefined, startedAtNs: undefined, claimed: true });
      }
    });

    it.each([
      ['bundle', waiting({ leftovers: false })],
      ['bundle', world({ storage: waits.storage })],
      ['root file system', { ...waits, storage: { layers: [], rootfs: [{ id, mounted: false }] } }],
      ['root file system', { ...waits, storage: { layers: [], rootfs: [] } }],
      ['checkpoint', waiting({ checkpoint: false })],
    ])('F03 ended when its %s is gone: its end had begun', (what, now) => {
      const message = `exit code unknown: its ${what} was gone when troupe started, and it had not been restored`;
      expect(planContainer(ledgerOf(...made), now, id)).toMatchObject({ entry: 'ended', exit: { exitCode: 255, message } });
    });

    it('with what the restore has made of it once that is on record', () => {
      expect(planContainer(ledgerOf(...made), seen({}), id)).toMatchObject({ entry: 'running', init: process, startedAtNs: NOW_NS });
      const restored = ledgerOf(...made, { ...started, init: process });
      expect(planContainer(restored, seen({}), id)).toMatchObject({ entry: 'running', init: process, startedAtNs: 300n });
      expect(planContainer(restored, seen({ ...gone, monitorAlive: false }), id)).toMatchObject({ entry: 'ended', init: process });
      expect(ledgerOf(...ledgerFold.records(restored))).toEqual(restored);
    });
  });

  it('exited, leftovers: finishing again, with the recorded fact', () => {
    const ledger = ledgerOf(...created, { type: 'container.exited', id, exit, startedAtNs: 300n });
    const other = { ...exit, exitCode: 9 };
    expect(planContainer(ledger, seen({ ...gone, exitFile: other }), id)).toMatchObject({ entry: 'unreleased', exit, startedAtNs: 300n });
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
    expect(planContainer(ledgerOf(...created, started, updating), seen({}), id)).toMatchObject({ entry: 'running', interrupted: { opId: 'u1', change: resources } });
    const updated = planContainer(ledgerOf(...created, started, updating, { type: 'container.updated', id, resources }), seen({}), id);
    expect(updated).toMatchObject({ entry: 'running', spec: { resources } });
    expect(updated?.interrupted).toBeUndefined();
  });

  it('unknown: nothing', () => {
    expect(planContainer(emptyLedger(), world(), id)).toBeUndefined();
  });

  it('F10: what it says depends on records and world only, so a crash inside recovery changes nothing', () => {
    const ledger = ledgerOf(...created, started);
    const first = planContainer(ledger, seen({}), id);
    expect(planContainer(ledger, seen({}), id)).toEqual(first);
    expect(planContainer(ledgerOf(...ledgerFold.records(ledger)), seen({}), id)).toEqual(first);
  });
});
