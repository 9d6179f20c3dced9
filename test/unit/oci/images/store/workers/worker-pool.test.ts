// A worker that ends with several jobs in hand.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { storageLimits } from '../../../../../../src/oci/bounds.ts';
import { realClock } from '../../../../../../src/host/clock/clock.ts';
import { WorkerPool } from '../../../../../../src/oci/images/store/workers/worker-pool.ts';
import type { RunningJob } from '../../../../../../src/oci/images/store/workers/worker-pool.ts';
import { faultOf } from '../../../../../support/fault-of.ts';
import { HandClock } from '../../../../../support/hand-clock.ts';
import { turns } from '../../../../../support/turns.ts';

let directory = '';
let pool: WorkerPool;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'troupe-pool-'));
  pool = new WorkerPool({
    clock: realClock(),
    workers: 1,
    program: new URL('../../../../../support/ending-worker.ts', import.meta.url),
  });
});
afterEach(() => {
  pool.close();
  rmSync(directory, { recursive: true });
});

const measure = (name: string): RunningJob => pool.start({ kind: 'measure', paths: [join(directory, name)] });
const jobs = (): readonly string[] => readFileSync(join(directory, 'jobs'), 'utf8').trim().split('\n');

describe('S90 a storage worker that ends', () => {
  it('has each of its jobs retried alone: the one that crashes workers fails, the others do not', async () => {
    const victims = [measure('victim'), measure('victim')];
    const killer = measure('kills');
    const [fault, ...results] = await Promise.all([
      faultOf(killer.result),
      ...victims.map(({ result }) => result),
    ]);
    expect(fault.message).toBe('storage worker exited with code 7');
    expect(results).toEqual([
      { kind: 'measure', sizes: [] },
      { kind: 'measure', sizes: [] },
    ]);
    // in its worker alone, the killer had nobody with it
    expect(jobs()).toEqual(['victim', 'victim', 'kills', 'victim', 'victim', 'kills']);
  });

  it('with one job in hand fails that job, which is not retried', async () => {
    expect((await faultOf(measure('kills').result)).message).toBe('storage worker exited with code 7');
    expect(jobs()).toEqual(['kills']);
  });

  it('does not retry a cancelled job', async () => {
    const victim = measure('victim');
    const killer = measure('kills');
    victim.cancel();
    await Promise.all([faultOf(victim.result), faultOf(killer.result)]);
    expect(jobs().filter((name) => name === 'victim')).toHaveLength(1);
  });
});

describe('S90 workers for one unpacking each', () => {
  it('are few: a caller that waits for one fails after a while, and leaves the queue on abort', async () => {
    const clock = new HandClock();
    const own = new WorkerPool({ clock });
    const never = new AbortController().signal;
    const hold = (): Promise<void> => new Promise(() => undefined);
    for (let at = 0; at < storageLimits.unpacksApart; at += 1) void own.apart(hold, never);
    const late = faultOf(own.apart(hold, never));
    const leaver = new AbortController();
    const left = own.apart(hold, leaver.signal).catch((error: unknown) => error);
    await turns();
    leaver.abort(new Error('gone'));
    expect(await left).toEqual(new Error('gone'));
    await clock.advance(storageLimits.apartWaitMs);
    expect(await late).toMatchObject({ kind: 'exhausted', retryable: true });
    expect([clock.timers.size, own.size]).toEqual([0, 0]);
  });
});
