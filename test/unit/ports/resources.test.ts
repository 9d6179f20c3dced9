import { describe, expect, it } from 'vitest';
import type { JournalRecord } from '../../../src/ports/journal.ts';
import type { Resources } from '../../../src/ports/specs.ts';
import { emptyLedger, ledgerFold } from '../../../src/actors/ledger/ledger.ts';
import { planContainer } from '../../../src/actors/recovery/plan.ts';
import type { World } from '../../../src/actors/recovery/plan.ts';
import { NO_LIMITS, mergeResources } from '../../../src/ports/resources.ts';
import { back, endHead, forward, queue } from '../../../src/actors/container/container.updates.ts';
import { containerContext } from '../../../src/actors/container/container.context.ts';
import { actorLimits } from '../../../src/actors/bounds.ts';
import { fault } from '../../../src/base/fault.ts';
import {
  containerCreated,
  containerId,
  containerIntent,
  containerSpec,
  process,
} from '../actors/fixtures.ts';

const id = containerId();
const old: Resources = {
  ...NO_LIMITS,
  cpuShares: 2n,
  memoryLimitBytes: 100n,
  oomScoreAdj: 7,
  cpusetCpus: '0-1',
  hugepageLimits: [{ pageSize: '2MB', limitBytes: 4n }],
  unified: { 'memory.high': '90' },
};

describe('limits after an update', () => {
  it('are the old ones where it has none; the score of the OOM killer stays', () => {
    expect(mergeResources(old, NO_LIMITS)).toEqual(old);
    expect(mergeResources(old, { ...NO_LIMITS, oomScoreAdj: 900 }).oomScoreAdj).toBe(7);
  });

  it('are the stated ones, each on its own', () => {
    const change: Resources = {
      ...NO_LIMITS,
      cpuQuota: -1n,
      memoryLimitBytes: 50n,
      cpusetCpus: '1',
      hugepageLimits: [
        { pageSize: '1GB', limitBytes: 1n },
        { pageSize: '2MB', limitBytes: 8n },
      ],
      unified: { 'memory.low': '1' },
    };
    expect(mergeResources(old, change)).toEqual({
      ...old,
      cpuQuota: -1n,
      memoryLimitBytes: 50n,
      cpusetCpus: '1',
      hugepageLimits: [
        { pageSize: '2MB', limitBytes: 8n },
        { pageSize: '1GB', limitBytes: 1n },
      ],
      unified: { 'memory.high': '90', 'memory.low': '1' },
    });
  });

  it.each([
    ['follows a memory limit at which it stood', 100n, 300n, 300n],
    ['follows one that passes it', 150n, 300n, 300n],
    ['stays above one that does not', 400n, 300n, 400n],
    ['stays without limit', -1n, 300n, -1n],
    ['stays unset', undefined, 300n, undefined],
  ])('memory and swap together %s', (_what, swap, memory, then) => {
    expect(
      mergeResources({ ...old, memorySwapLimitBytes: swap }, { ...NO_LIMITS, memoryLimitBytes: memory })
        .memorySwapLimitBytes,
    ).toBe(then);
  });
});

describe('updates in line', () => {
  const context = containerContext({
    id,
    spec: { ...containerSpec(), resources: old },
    handler: '',
    image: { id: containerIntent().image.id, ref: '', layers: [] },
    createdAtNs: 1n,
    entry: 'running',
    making: undefined,
    begun: [],
    init: process,
    effective: undefined,
    startedAtNs: 2n,
    exit: undefined,
    graceMs: 0,
    claimed: true,
  });
  const update = (opId: string) => ({ opId, change: { ...NO_LIMITS, memoryLimitBytes: 64n } });

  it('are bounded: one beyond the bound is refused, and the others stay', () => {
    let full = context;
    for (let at = 0; at < actorLimits.updatesWaiting; at += 1)
      full = { ...full, ...queue(full, update(`u${at}`)) };
    expect(full.updates).toHaveLength(actorLimits.updatesWaiting);
    const refused = { ...full, ...queue(full, update('late')) };
    expect(refused.updates).toEqual(full.updates);
    expect(refused.updated).toMatchObject([{ opId: 'late', fault: { kind: 'exhausted' } }]);
  });

  it('the first changes from the recorded to the wanted limits, and back when it fails', () => {
    const one = { ...context, ...queue(context, update('u')) };
    const wanted = { ...old, memoryLimitBytes: 64n };
    expect(forward(one)).toEqual({ opId: 'u', from: old, resources: wanted });
    expect(back(one)).toEqual({ opId: 'u', from: wanted, resources: old });
  });

  it('an ended one leaves its outcome, of which a bounded number is kept', () => {
    const why = fault('outside', 'runc says no');
    const done = {
      ...context,
      ...endHead({ ...context, updates: [update('a'), update('b')], updateFault: why }),
    };
    expect(done).toMatchObject({
      updates: [{ opId: 'b' }],
      updated: [{ opId: 'a', fault: why }],
      updateFault: undefined,
    });
    let many = done;
    for (let at = 0; at < actorLimits.updatesKept + 5; at += 1)
      many = { ...many, ...endHead({ ...many, updates: [update(`n${at}`)] }) };
    expect(many.updated).toHaveLength(actorLimits.updatesKept);
    expect(many.updated.at(-1)).toEqual({ opId: `n${actorLimits.updatesKept + 4}`, fault: undefined });
  });
});

describe('after a crash', () => {
  const target = { ...old, memoryLimitBytes: 64n };
  const world: World = {
    nowNs: 9n,
    nowMonoMs: 0,
    host: { bootId: process.bootId, sandboxes: [] },
    alive: new Set<never>(),
    pauses: new Map(),
    storage: { layers: [], rootfs: [] },
    networks: new Set(),
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
        },
      ],
    ]),
  };
  const started: readonly JournalRecord[] = [
    containerIntent({ resources: old }),
    containerCreated(),
    { type: 'container.started', id, startedAtNs: 5n },
  ];
  const ledgerOf = (...records: readonly JournalRecord[]) => {
    const ledger = emptyLedger();
    for (const record of records) ledgerFold.apply(ledger, record);
    return ledger;
  };

  it('F09: a recorded update counts', () => {
    const plan = planContainer(
      ledgerOf(...started, { type: 'container.updated', id, resources: target }),
      world,
      id,
    );
    expect(plan).toMatchObject({ entry: 'running', interrupted: undefined });
    expect(plan?.spec.resources).toEqual(target);
  });

  it('F09: a begun update goes on from the recorded limits', () => {
    const plan = planContainer(
      ledgerOf(...started, { type: 'container.updating', id, opId: 'u', resources: target }),
      world,
      id,
    );
    expect(plan).toMatchObject({ entry: 'running', interrupted: { opId: 'u', change: target } });
    expect(plan?.spec.resources).toEqual(old);
  });

  it('F09: the ledger’s snapshot has the same of both', () => {
    const ledger = ledgerOf(
      ...started,
      { type: 'container.updating', id, opId: 'u', resources: target },
      { type: 'container.updated', id, resources: target },
      { type: 'container.updating', id, opId: 'v', resources: old },
    );
    expect(ledgerOf(...ledgerFold.records(ledger))).toEqual(ledger);
    expect(ledger.containers.get(id)).toMatchObject({ resources: target, updating: { opId: 'v' } });
  });
});
