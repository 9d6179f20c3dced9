// What a plan of the recovery is made from: records, and a machine that is as they say.
import type { JournalRecord } from '../../../../src/ports/journal.ts';
import type { RuntimeFacts } from '../../../../src/ports/runtime.ts';
import { emptyLedger, ledgerFold } from '../../../../src/actors/ledger/ledger.ts';
import type { Ledger } from '../../../../src/actors/ledger/ledger.ts';
import type { World } from '../../../../src/actors/recovery/plan.ts';
import { containerId, process, sandboxId } from '../fixtures.ts';

export const sid = sandboxId();
export const id = containerId();
export const NOW_NS = 5_000_000_000n;
export const NOW_MONO_MS = 70_000;

export function ledgerOf(...records: readonly JournalRecord[]): Ledger {
  const ledger = emptyLedger();
  for (const record of records) ledgerFold.apply(ledger, record);
  return ledger;
}

/** A machine on which everything is as the records say, changed by `part`. */
export function world(part: Partial<World> = {}): World {
  return {
    nowNs: NOW_NS,
    nowMonoMs: NOW_MONO_MS,
    host: { bootId: process.bootId, sandboxes: [{ id: sid, pins: ['net', 'ipc', 'uts'], files: true }] },
    containers: new Map(),
    alive: new Set(),
    pauses: new Map(),
    storage: { layers: [], rootfs: [] },
    networks: new Set([sid]),
    ...part,
  };
}

export const seen = (part: Partial<RuntimeFacts>): World =>
  world({
    containers: new Map([
      [
        id,
        {
          id,
          process: 'running',
          init: process,
          monitorAlive: true,
          exitFile: undefined,
          leftovers: true,
          checkpoint: false,
          ...part,
        },
      ],
    ]),
  });

export const ALL = ['files', 'cgroup', 'namespaces', 'network'];
