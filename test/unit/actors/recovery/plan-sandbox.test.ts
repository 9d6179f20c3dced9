// The crash story of a sandbox: each row of the table at the head of src/actors/recovery/plan.ts is a test here.
import { describe, expect, it } from 'vitest';
import { emptyLedger, ledgerFold } from '../../../../src/actors/ledger/ledger.ts';
import type { Ledger } from '../../../../src/actors/ledger/ledger.ts';
import { observeWorld } from '../../../../src/actors/recovery/observe.ts';
import { planSandbox } from '../../../../src/actors/recovery/plan.ts';
import type { World } from '../../../../src/actors/recovery/plan.ts';
import { process, sandboxIntent, sandboxReady } from '../fixtures.ts';
import { ALL, NOW_MONO_MS, NOW_NS, ledgerOf, sid, world } from './plan-worlds.ts';

describe('sandbox begins', () => {
  const ready = [sandboxIntent(), sandboxReady()];

  it('intent, anything: unwinding every step, unclaimed (F01)', () => {
    for (const now of [world(), world({ host: { bootId: 'other', sandboxes: [] } })]) {
      expect(planSandbox(ledgerOf(sandboxIntent()), now, sid)).toMatchObject({
        entry: 'intent',
        begun: ALL,
        claimed: false,
      });
    }
  });

  it('ready, namespaces there: ready, claimed, with its addresses', () => {
    expect(planSandbox(ledgerOf(...ready), world(), sid)).toMatchObject({
      entry: 'ready',
      begun: ALL,
      claimed: true,
      ips: ['10.62.0.2'],
    });
  });

  it.each([
    ['no pin', []],
    ['the network namespace is missing', ['ipc', 'uts']],
    ['the IPC namespace is missing', ['net', 'uts']],
  ] as const)('ready, %s: notReady, all cleanup pending', (_what, pins) => {
    const now = world({ host: { bootId: process.bootId, sandboxes: [{ id: sid, pins, files: true }] } });
    expect(planSandbox(ledgerOf(...ready), now, sid)).toMatchObject({ entry: 'stopping', begun: ALL });
  });

  it('ready, with a user namespace: that one must exist, too', () => {
    const ids = { containerId: 0, hostId: 70_000, length: 65_536 };
    const mapped = sandboxIntent({
      namespaces: {
        network: 'pod',
        ipc: 'pod',
        pid: 'container',
        targetId: undefined,
        user: { uids: ids, gids: ids },
      },
    });
    const pinned = (...pins: readonly ('net' | 'ipc' | 'uts' | 'user')[]): World =>
      world({ host: { bootId: process.bootId, sandboxes: [{ id: sid, pins, files: true }] } });
    const ledger = ledgerOf(mapped, sandboxReady());
    expect(planSandbox(ledger, pinned('net', 'ipc', 'uts', 'user'), sid)).toMatchObject({ entry: 'ready' });
    expect(planSandbox(ledger, pinned('net', 'ipc', 'uts'), sid)).toMatchObject({
      entry: 'stopping',
      begun: ALL,
    });
  });

  it('ready, its network was deleted by a stop whose record the disk refused: notReady, all cleanup pending', () => {
    expect(planSandbox(ledgerOf(...ready), world({ networks: new Set() }), sid)).toMatchObject({
      entry: 'stopping',
      begun: ALL,
    });
  });

  it('ready, rebooted: notReady, all cleanup pending', () => {
    const now = world({ host: { bootId: 'boot-2', sandboxes: [] } });
    expect(planSandbox(ledgerOf(...ready), now, sid)).toMatchObject({ entry: 'stopping', begun: ALL });
  });

  it("ready on the host's network and IPC: needs no pin, but its files, which a reboot takes (F80)", () => {
    const onHost = sandboxIntent({
      namespaces: { network: 'node', ipc: 'node', pid: 'container', targetId: undefined },
    });
    const ledger = ledgerOf(onHost, sandboxReady());
    const begun = ['files', 'cgroup', 'namespaces'];
    const now = world({
      host: { bootId: process.bootId, sandboxes: [{ id: sid, pins: [], files: true }] },
    });
    expect(planSandbox(ledger, now, sid)).toMatchObject({ entry: 'ready', begun });
    const rebooted = world({ host: { bootId: 'boot-2', sandboxes: [] }, networks: new Set() });
    expect(planSandbox(ledger, rebooted, sid)).toMatchObject({ entry: 'stopping', begun });
  });

  it('ready with a pause process: ready while that very process is there, else all cleanup pending', () => {
    const shared = sandboxIntent({
      namespaces: { network: 'pod', ipc: 'pod', pid: 'pod', targetId: undefined },
    });
    const ledger = ledgerOf(shared, sandboxReady(process));
    const pausing = (pid: number): World =>
      world({ pauses: new Map([[sid, { id: sid, process: { ...process, pid } }]]) });
    expect(planSandbox(ledger, pausing(process.pid), sid)).toMatchObject({
      entry: 'ready',
      begun: [...ALL, 'pause'],
    });
    expect(planSandbox(ledger, pausing(1), sid)).toMatchObject({ entry: 'stopping' });
    expect(
      planSandbox(ledger, world({ pauses: new Map([[sid, { id: sid, process: undefined }]]) }), sid),
    ).toMatchObject({ entry: 'stopping' });
    expect(planSandbox(ledger, world(), sid)).toMatchObject({ entry: 'stopping' });
  });

  it('F89: ready with a pause process whose files can not be read: ready while the kernel has it by its record', async () => {
    const shared = sandboxIntent({
      namespaces: { network: 'pod', ipc: 'pod', pid: 'pod', targetId: undefined },
    });
    const ledger = ledgerOf(shared, sandboxReady(process));
    const entryOf = async (isUnreadable: boolean, lives: boolean): Promise<string | undefined> => {
      const pauses = [{ id: sid, process: undefined, ...(isUnreadable ? { isUnreadable } : {}) }];
      const { host, storage } = world();
      const ports = {
        clock: { nowNs: () => NOW_NS, monoMs: () => NOW_MONO_MS },
        host: { observe: async () => host },
        storage: { observe: async () => storage },
        network: { observe: async () => [sid] },
        runtime: {
          observe: async () => ({ containers: [], pauses }),
          isAlive: (one: unknown) => lives && one === process,
        },
      } as never;
      return planSandbox(
        ledger,
        await observeWorld(ports, ledger, {
          signal: new AbortController().signal,
          timeoutMs: 1,
          note: () => undefined,
        }),
        sid,
      )?.entry;
    };
    expect([await entryOf(true, true), await entryOf(true, false), await entryOf(false, true)]).toEqual([
      'ready',
      'stopping',
      'stopping',
    ]);
  });

  it('I7 stopping or stopped with its removal: as without, and the removal goes on', () => {
    const stopping = { type: 'sandbox.stopping', id: sid, removal: true } as const;
    const stopped = { type: 'sandbox.stopped', id: sid, owed: ['files'] } as const;
    for (const [records, entry] of [
      [[stopping], 'stopping'],
      [[stopping, stopped], 'stopped'],
      [
        [
          { ...stopping, removal: false },
          { ...stopped, removal: true },
        ],
        'stopped',
      ],
      // a stop that was confirmed, after the record of the removal
      [[stopping, { type: 'sandbox.stopping', id: sid }], 'stopping'],
    ] as const) {
      const ledger = ledgerOf(...ready, ...records);
      for (const now of [ledger, ledgerOf(...ledgerFold.records(ledger))])
        expect(planSandbox(now, world(), sid)).toMatchObject({ entry, removal: true });
    }
    const stop = ledgerOf(...ready, { type: 'sandbox.stopping', id: sid }, stopped);
    expect(planSandbox(stop, world(), sid)).toMatchObject({ entry: 'stopped', removal: false });
  });

  it('stopping, anything: notReady, all cleanup pending (F05)', () => {
    expect(
      planSandbox(ledgerOf(...ready, { type: 'sandbox.stopping', id: sid }), world(), sid),
    ).toMatchObject({ entry: 'stopping', begun: ALL });
  });

  it('stopped, anything: notReady, with exactly the recorded cleanup', () => {
    const stopped = (owed: readonly string[]): Ledger =>
      ledgerOf(...ready, { type: 'sandbox.stopped', id: sid, owed });
    expect(planSandbox(stopped(['network', 'files', 'of a later version']), world(), sid)).toMatchObject({
      entry: 'stopped',
      begun: ['files', 'network'],
    });
    expect(planSandbox(stopped([]), world(), sid)).toMatchObject({ entry: 'stopped', begun: [] });
  });

  it('unknown: nothing', () => {
    expect(planSandbox(emptyLedger(), world(), sid)).toBeUndefined();
  });
});
