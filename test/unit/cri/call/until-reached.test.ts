// Calls that a daemon asks of the one that serves while that one can't be reached, or recovers.
import { expect, test } from 'vitest';
import { fault, FaultError } from '../../../../src/base/fault.ts';
import { relayLimits } from '../../../../src/cri/bounds.ts';
import { untilReached } from '../../../../src/cri/call/relay.ts';
import { RpcError } from '../../../../src/cri/call/status.ts';
import { HandClock } from '../../../support/hand-clock.ts';

const NAME = 'runtime.v1.RuntimeService/StopPodSandbox';
/** Longer than a call is asked again of a daemon that can't be reached. */
const AT_WORK_MS = 2 * relayLimits.reachMs;
const unavailable = (): RpcError => new RpcError({ code: 'unavailable', message: 'recovering' });
const never = (): Promise<never> => new Promise<never>(() => undefined);

test('F92 a relayed call that is refused is asked more and more rarely, and once more at its end', async () => {
  const clock = new HandClock();
  const beginMs = clock.monoMs();
  const asked: number[] = [];
  const ask = untilReached(
    () => {
      asked.push(clock.monoMs() - beginMs);
      return Promise.reject(unavailable());
    },
    clock,
    never,
  );
  const { signal } = new AbortController();
  const ended = ask(NAME, new Uint8Array(), { signal, deadlineMonoMs: beginMs + 10_000 }).catch(
    (thrown: unknown) => thrown,
  );
  await clock.advance(0);
  await clock.advance(10_000);
  expect(await ended).toMatchObject({ status: { code: 'unavailable' } });
  const pauses = asked.slice(1).map((at, n) => at - (asked[n] ?? 0));
  expect(pauses.slice(0, 3)).toEqual([50, 62.5, 78.125]);
  expect(Math.max(...pauses)).toBe(1000);
  expect(asked.at(-1)).toBe(9950);
  expect(asked.length).toBeLessThan(30);
});

test('F92 a relayed call that was at work for long when its daemon died is asked again at once', async () => {
  const clock = new HandClock();
  const asked: number[] = [];
  const ask = untilReached(
    async () => {
      asked.push(clock.monoMs());
      if (asked.length === 8)
        await new Promise<void>((resolve) => void clock.setTimeout(resolve, AT_WORK_MS));
      throw unavailable();
    },
    clock,
    never,
  );
  const { signal } = new AbortController();
  void ask(NAME, new Uint8Array(), { signal }).catch(() => undefined);
  await clock.advance(0);
  await clock.advance(2 * AT_WORK_MS);
  const [atWork = 0, next] = asked.slice(7);
  expect(next).toBe(atWork + AT_WORK_MS + 50);
});

test('F92 a relayed call without a deadline that each daemon refuses after a while is given up', async () => {
  const clock = new HandClock();
  let asked = 0;
  const ask = untilReached(
    async () => {
      asked += 1;
      await new Promise<void>((resolve) => void clock.setTimeout(resolve, AT_WORK_MS));
      throw unavailable();
    },
    clock,
    never,
  );
  const { signal } = new AbortController();
  const ended = ask(NAME, new Uint8Array(), { signal }).catch((thrown: unknown) => thrown);
  await clock.advance(0);
  await clock.advance(10 * AT_WORK_MS);
  expect(await ended).toMatchObject({ status: { code: 'unavailable' } });
  expect(asked).toBe(1 + relayLimits.renewals);
});

test('F92 a relayed call whose caller goes between two attempts ends at once', async () => {
  const clock = new HandClock();
  const gone = new AbortController();
  let asked = 0;
  const ask = untilReached(
    () => {
      asked += 1;
      return Promise.reject(unavailable());
    },
    clock,
    never,
  );
  const ended = ask(NAME, new Uint8Array(), { signal: gone.signal }).catch((thrown: unknown) => thrown);
  await clock.advance(0);
  gone.abort(new FaultError(fault('cancelled', 'the caller has gone')));
  // no time passes
  expect(await ended).toMatchObject({ status: { code: 'cancelled' } });
  expect(asked).toBe(1);
});
