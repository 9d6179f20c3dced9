// What a state dump says, in which order, and what bounds it.
import { describe, expect, it } from 'vitest';
import { Semaphore } from '../../../../src/base/bounded.ts';
import { dumpLimits } from '../../../../src/daemon/bounds.ts';
import type { DumpSources } from '../../../../src/daemon/dumps/dump-sources.ts';
import { LastErrors } from '../../../../src/daemon/dumps/last-errors.ts';
import { stateDump } from '../../../../src/daemon/dumps/state-dump.ts';
import { FlightRecorder } from '../../../../src/introspection/flight/flight.ts';
import { HandClock } from '../../../support/hand-clock.ts';
import { never, turns, untilTrue } from '../../../support/turns.ts';
import { container, sandbox, stage } from '../../introspection/stage.ts';

/** Fields that the tests read. */
interface Shown {
  readonly actors: readonly { readonly waits: readonly Readonly<Record<string, string>>[] }[];
  readonly actorsLeftOut: number;
  readonly locks: readonly object[];
  readonly threads: readonly { readonly tids: readonly number[] }[];
}

function bench() {
  const clock = new HandClock(1_000_000);
  const { troupe, recorder, put, wait } = stage(clock);
  const conditions: ReturnType<DumpSources['observability']['conditions']['all']>[number][] = [];
  const flight = new FlightRecorder({ clock, version: '0', pid: 1 });
  const journal: { queued: number; diskCall: DumpSources['journal']['diskCall'] } = {
    queued: 0,
    diskCall: undefined,
  };
  const sources: DumpSources = {
    troupe,
    recorder,
    observability: { conditions: { all: () => conditions }, flight },
    journal,
    sessions: () => 3,
  };
  const reading = { isUnderWay: false };
  const dump = async (given: Pick<Parameters<typeof stateDump>[0], 'sources'> = { sources }) => {
    const facts = { version: '0', pid: process.pid, nowNs: clock.nowNs(), clock, reading };
    const text = await stateDump({ ...facts, errors: new LastErrors(), ...given });
    return { text, shown: JSON.parse(text) as Shown };
  };
  return { clock, put, wait, journal, flight, conditions, reading, dump, activity: troupe.activity };
}

describe('a state dump', () => {
  it('has the longest wait first, then what is not settled; with ages, and what others wait for', async () => {
    const { clock, put, wait, dump, activity } = bench();
    const [settled, unsettled, first, second] = [
      sandbox(1, 'ready'),
      sandbox(2, 'provisioning.files'),
      sandbox(3, 'provisioning.network.adding'),
      sandbox(4, 'provisioning.network.adding'),
    ] as const;
    for (const view of [settled, unsettled, second, first]) put(view);
    const ends = [wait(first, 'addNetwork', 60_000, { on: 'CNI ADD bridge' })];
    clock.pass(1000);
    ends.push(wait(second, 'addNetwork', 60_000, { on: 'CNI ADD bridge' }));
    const { signal } = new AbortController();
    void activity.run('janitor', 'sweep', 60_000, signal, never);
    clock.pass(2000);
    const { shown } = await dump();
    expect(shown).toMatchObject({
      phase: 'serving',
      sessions: 3,
      effects: { addNetwork: 2, sweep: 1 },
      otherWaits: [{ owner: 'janitor', effect: 'sweep' }],
      actors: [first, second, unsettled, settled].map(({ address }) => ({ address })),
      actorsLeftOut: 0,
    });
    expect([0, 1].map((at) => shown.actors[at]?.waits[0]?.['sinceNs'])).toEqual([
      '1000000000000',
      '1001000000000',
    ]);
    for (const end of ends) end();
  });

  it('names the call of a disk that hangs, held locks, calls of clients, and threads that stand alike', async () => {
    const { clock, journal, flight, conditions, dump } = bench();
    journal.diskCall = { name: 'fdatasync', sinceMonoMs: clock.monoMs() - 5000 };
    journal.queued = 7;
    conditions.push({ type: 'PartsAnswer', subject: 'journal', reason: 'the disk hangs' });
    flight.call({ origin: 'StopContainer', requestId: 'r1' } as Parameters<FlightRecorder['call']>[0]);
    const lock = new Semaphore('layer of a test', 1, 1);
    let end: () => void = () => undefined;
    const [held, waiting] = [new Promise<void>((resolve) => (end = resolve)), Promise.resolve()];
    const all = [lock.with(() => held), lock.with(() => waiting)];
    clock.pass(100);
    const { shown } = await dump();
    expect(shown).toMatchObject({
      journal: { queued: 7, diskCall: { name: 'fdatasync', forMs: 5100 } },
      degraded: [{ type: 'PartsAnswer', subject: 'journal', reason: 'the disk hangs' }],
      calls: [{ method: 'StopContainer', requestId: 'r1', forMs: 100, actors: [] }],
    });
    expect(shown.locks).toContainEqual({ on: 'layer of a test', slots: 1, held: 1, waiting: 1 });
    const tids = shown.threads.flatMap((threads) => threads.tids);
    expect(tids).toContain(process.pid);
    expect(shown.threads.length).toBeLessThan(tids.length);
    end();
    await Promise.all(all);
    expect((await dump()).shown.locks).not.toContainEqual(expect.objectContaining({ on: 'layer of a test' }));
  });

  it('S91, S92: has no words of containers, no arguments and no credentials', async () => {
    const { put, wait, conditions, dump } = bench();
    const view = sandbox(1, 'provisioning.files');
    put({
      ...view,
      fault: { kind: 'outside', message: 'runc: exec: "secret-a"', retryable: false },
    } as typeof view);
    const app = container(1, view, 'starting.runtime');
    put(app);
    const argv = ['/usr/sbin/runc', 'exec', '--env', 'secret-b'];
    const end = wait(app, 'start', 60_000, { on: 'mount /secret-c', argv });
    await turns();
    conditions.push({ type: 'NodeFilesUsable', subject: 'proxy', reason: 'https://me:secret-d@proxy: no' });
    const { text, shown } = await dump();
    expect(text).not.toContain('secret');
    expect(shown).toMatchObject({
      degraded: [{ reason: 'https://***@proxy: no' }],
      actors: [{ waits: [{ on: 'mount …', argv: ['/usr/sbin/runc', 'exec'] }] }, { fault: 'runc: exec: …' }],
    });
    end();
  });

  it('is bounded in actors and bytes, and says how many it leaves out', async () => {
    const { put, dump } = bench();
    const many = dumpLimits.actors + 20;
    for (let at = 0; at < many; at += 1) put(sandbox(at, 'ready'));
    expect((await dump()).shown.actors).toHaveLength(dumpLimits.actors);
    const message = 'x'.repeat((2 * dumpLimits.bytes) / dumpLimits.actors);
    for (let at = 0; at < many; at += 1)
      put({ ...sandbox(at, 'notReady'), fault: { kind: 'outside', message } } as ReturnType<typeof sandbox>);
    const { text, shown } = await dump();
    expect(Buffer.byteLength(text)).toBeLessThanOrEqual(dumpLimits.bytes);
    expect(shown.actors.length + shown.actorsLeftOut).toBe(many);
    expect(shown.actors).not.toHaveLength(0);
  });

  it('says that the daemon starts, before there is more', async () => {
    const { dump } = bench();
    expect((await dump({ sources: undefined })).shown).toMatchObject({ phase: 'starting', actors: [] });
  });

  it('comes without the states of processes while reading them hangs, and does not read again', async () => {
    const { clock, put, wait, reading, dump } = bench();
    const view = sandbox(1, 'provisioning.files');
    put(view);
    const end = wait(view, 'makeFiles', 60_000, { on: 'mkdir', pid: process.pid });
    await turns();
    const state = async (): Promise<string | undefined> =>
      (await dump()).shown.actors[0]?.waits[0]?.['processState'];
    expect(await state()).toMatch(/^[RS]$/u);
    const hanging = state();
    await turns();
    clock.fire(dumpLimits.readMs);
    expect([await hanging, reading.isUnderWay]).toEqual([undefined, true]);
    expect(await state()).toBeUndefined();
    await untilTrue(() => !reading.isUnderWay);
    end();
  });
});
