// The daemon is stopped while another one is to take over: that one does not serve afterwards (F92).
import { expect, test } from 'vitest';
import { takeOverLimits } from '../../../../src/daemon/bounds.ts';
import { NextDaemons, STOPPING } from '../../../../src/daemon/takeover/next-daemons.ts';
import type { StartedProgram } from '../../../../src/daemon/takeover/upgrading.ts';
import { HandClock } from '../../../support/hand-clock.ts';
import { turns } from '../../../support/turns.ts';

const { nextEndMs, killedMs, pollMs } = takeOverLimits;

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
  await ending;
  await starting;
  expect(did).toEqual(['terminate 501']);
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

test('F92 once another daemon serves a stop leaves those alone that were started', async () => {
  const { did, next, started } = bench();
  await started();
  next.forget();
  await next.end(undefined);
  expect(did).toEqual([]);
});
