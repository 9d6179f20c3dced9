// The daemon is stopped while another one is to take over: that one does not serve afterwards (F92).
import { expect, test } from 'vitest';
import { takeOverLimits } from '../../../../src/daemon/bounds.ts';
import { NextDaemons, STOPPING } from '../../../../src/daemon/takeover/next-daemons.ts';
import type { StartedProgram } from '../../../../src/daemon/takeover/upgrading.ts';
import { HandClock } from '../../../support/hand-clock.ts';
import { turns } from '../../../support/turns.ts';

const { answerMs, nextEndMs, killedMs, pollMs } = takeOverLimits;

function bench() {
  const clock = new HandClock();
  const did: string[] = [];
  const running = new Set<number>();
  /** Pids that SIGTERM does not end at once, and those that nothing ends. */
  const [serving, hung] = [new Set<number>(), new Set<number>()];
  const starts: PromiseWithResolvers<void>[] = [];
  let pid = 500;
  const next = new NextDaemons({
    clock,
    peers: {
      exists: (one) => running.has(one.pid),
      terminate: (one) => {
        did.push(`terminate ${one.pid}`);
        if (!serving.has(one.pid) && !hung.has(one.pid)) running.delete(one.pid);
      },
      kill: (one) => {
        did.push(`kill ${one.pid}`);
        if (!hung.has(one.pid)) running.delete(one.pid);
      },
    },
    start: async (): Promise<StartedProgram> => {
      const started = Promise.withResolvers<void>();
      starts.push(started);
      await started.promise;
      pid += 1;
      running.add(pid);
      return { pid, identity: { pid, startTicks: 1 }, exited: new Promise(() => undefined) };
    },
  });
  /** Starts one, at once. */
  const started = async (): Promise<number> => {
    const starting = next.start();
    starts.at(-1)?.resolve();
    return (await starting).pid;
  };
  return { clock, did, running, serving, hung, starts, next, started };
}

test('F92 a program that has not asked yet is ended, and none is started any more', async () => {
  const { did, running, next, started } = bench();
  await started();
  await next.end(undefined);
  expect([did, [...running]]).toEqual([['terminate 501'], []]);
  await expect(next.start()).rejects.toThrow(STOPPING);
});

test('F92 one that is being started is ended as soon as it has been', async () => {
  const { did, starts, next } = bench();
  const starting = next.start();
  const ending = next.end(undefined);
  await turns();
  expect(did).toEqual([]);
  starts[0]?.resolve();
  await expect(starting).rejects.toThrow(STOPPING);
  await ending;
  expect(did).toEqual(['kill 501']);
});

test('F92 also where its start takes longer than the stop waits for it', async () => {
  const { clock, did, running, starts, next } = bench();
  const starting = next.start();
  const ending = next.end(undefined);
  await turns();
  await clock.advance(answerMs + 1);
  await ending;
  starts[0]?.resolve();
  await expect(starting).rejects.toThrow(STOPPING);
  expect([did, [...running]]).toEqual([['kill 501'], []]);
});

test('F92 the daemon that takes over gets one SIGTERM, also if it was started here, and has time to drain', async () => {
  const { clock, did, running, serving, next, started } = bench();
  const pid = await started();
  serving.add(pid);
  let isEnded = false;
  const ending = next.end({ pid, startTicks: 1 }).then(() => (isEnded = true));
  await turns();
  await clock.advance(nextEndMs - 2 * pollMs);
  expect([did, isEnded]).toEqual([['terminate 501'], false]);
  running.delete(pid);
  await clock.advance(pollMs);
  await ending;
  expect(did).toEqual(['terminate 501']);
});

test('F92 one that does not end is killed, and a stop does not wait for what even that does not end', async () => {
  const { clock, did, hung, next, started } = bench();
  hung.add(await started());
  const ending = next.end(undefined);
  await turns();
  await clock.advance(nextEndMs + pollMs);
  expect(did).toEqual(['terminate 501', 'kill 501']);
  await clock.advance(killedMs + 2 * pollMs);
  await ending;
});

test('F92 once a daemon that was started here serves a stop leaves it alone', async () => {
  const { did, next, started } = bench();
  next.served(await started());
  await next.end(undefined);
  expect(did).toEqual([]);
});

test('F92 one that was started does not take over from another daemon that serves meanwhile', async () => {
  const { did, running, next, started } = bench();
  await started();
  next.served(400);
  expect([did, [...running]]).toEqual([['kill 501'], []]);
  expect(await started()).toBe(502);
});

test('F92 nor does one whose start ends only then, unless it is the one that serves', async () => {
  const { did, running, starts, next } = bench();
  const [other, serving] = [next.start(), next.start()];
  other.catch(() => undefined);
  next.served(502);
  for (const start of starts) start.resolve();
  await expect(other).rejects.toThrow('another daemon has taken over meanwhile');
  expect([(await serving).pid, did, [...running]]).toEqual([502, ['kill 501'], [502]]);
});
