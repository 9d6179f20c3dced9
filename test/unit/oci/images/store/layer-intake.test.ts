// Whose time it is that a layer waits for a worker of its own.
import { expect, test } from 'vitest';
import { storageLimits } from '../../../../../src/oci/bounds.ts';
import { takeLayer } from '../../../../../src/oci/images/store/layer-intake.ts';
import type { Download, IntakeOptions } from '../../../../../src/oci/images/store/layer-intake.ts';
import type { LayerRecord } from '../../../../../src/oci/images/store/records/layer-record.ts';
import { Transfers } from '../../../../../src/oci/images/store/transfers.ts';
import type { Turn } from '../../../../../src/oci/images/store/transfers.ts';
import type { StartJob } from '../../../../../src/oci/images/store/workers/worker-pool.ts';
import type { UnpackJob } from '../../../../../src/oci/images/store/workers/worker-protocol.ts';
import { HandClock } from '../../../../support/hand-clock.ts';
import { turns } from '../../../../support/turns.ts';

const LOOK = storageLimits.transferCheckMs;
const record = {} as LayerRecord;
const result = Promise.resolve({ kind: 'unpack', record });

/** A first worker that is lost, and a place for another one that is free when `free` settles. */
function poolWith(free: Promise<void>): IntakeOptions['pool'] {
  const start: StartJob = () =>
    ({ mayStartAgain: true, result, cancel: () => undefined, end: () => undefined }) as ReturnType<StartJob>;
  const apart = async <T>(work: (start: StartJob) => Promise<T>): Promise<T> => {
    await free;
    return work(start);
  };
  return { start, apart };
}

test('S90 a transfer that waits for our worker does not count as slow; its registry does once it has one', async () => {
  const clock = new HandClock();
  const transfers = new Transfers({ clock, slots: () => 1, slotsPerHost: () => 1 });
  const free = Promise.withResolvers<void>();
  const blob = Promise.withResolvers<void>();
  let tries = 0;
  const downloadIn =
    (turn: Turn): Download =>
    async () => {
      tries += 1;
      if (tries === 1) throw new Error('its worker is lost');
      // at once, as bytes that were kept come
      await turn.local(() => Promise.resolve());
      await blob.promise;
    };
  const signal = new AbortController().signal;
  const taken = transfers.with(
    { host: 'r', namespace: 'a', credential: '' },
    (turn) => {
      const intake: IntakeOptions = {
        pool: poolWith(free.promise),
        clock,
        newJob: () => ({}) as UnpackJob,
        commit: (publish: () => Promise<LayerRecord>) => publish(),
        local: <T>(work: () => Promise<T>) => turn.local(work),
        onEnd: () => undefined,
      };
      return takeLayer(intake, downloadIn(turn), turn.signal);
    },
    signal,
  );
  let isNext = false;
  const next = transfers.with(
    { host: 'other', namespace: 'b', credential: '' },
    async () => void (isNext = true),
    signal,
  );
  await turns();
  for (let at = 0; at < 3; at += 1) await clock.advance(LOOK);
  expect([tries, isNext]).toEqual([1, false]);
  free.resolve();
  await turns();
  await clock.advance(LOOK);
  expect([tries, isNext]).toEqual([2, true]);
  blob.resolve();
  expect(await taken).toBe(record);
  await next;
});
