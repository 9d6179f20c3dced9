// A container that has got its stop signal waits for nothing of ours, and still says for what and until when.
import { expect, test } from 'vitest';
import { describeActor } from '../../../src/introspection/describe.ts';
import { ListTexts } from '../../../src/introspection/list-text.ts';
import { HandClock } from '../../support/hand-clock.ts';
import { container, sandbox, stage } from './stage.ts';

const S = 1_000_000_000n;

function inGrace() {
  const clock = new HandClock(100_000);
  const { options, put } = stage(clock);
  const pod = sandbox(1, 'ready');
  const view = container(1, pod, 'stopping.waiting.grace', {
    init: { pid: process.pid, startTicks: 1n, bootId: '' } as never,
    grace: { signal: 'SIGQUIT', askedAtMonoMs: 96_000, leftMs: 30_000 },
  });
  put(pod);
  put(view);
  return { clock, options, view };
}

test('it waits for its process, since the signal, until KILL', async () => {
  const { clock, options, view } = inGrace();
  const now = clock.nowNs();
  const [wait, ...more] = (await describeActor(options, view)).waits ?? [];
  expect(more).toEqual([]);
  expect(wait).toMatchObject({
    on: 'its process to exit: SIGQUIT was sent, SIGKILL follows',
    pid: BigInt(process.pid),
    processState: expect.stringMatching(/^[RS]$/u) as string,
  });
  expect(Number((now - (wait?.sinceNs ?? 0n)) / S)).toBe(4);
  expect((wait?.deadlineNs ?? 0n) - (wait?.sinceNs ?? 0n)).toBe(30n * S);
});

test('after a restart of the daemon the rest counts from there', async () => {
  const { clock, options, view } = inGrace();
  clock.nowMs += 5000;
  const later = { ...view, grace: { signal: 'SIGTERM', askedAtMonoMs: undefined, leftMs: 10_000 } };
  const [wait] = (await describeActor(options, later)).waits ?? [];
  expect((wait?.deadlineNs ?? 0n) - clock.nowNs()).toBe(5n * S);
});

test('the list has it too, without a change of the view', async () => {
  const { options } = inGrace();
  const texts = new ListTexts(options);
  for (const text of [await texts.answer('container'), await texts.answer('container')])
    expect(text).toContain('its process to exit: SIGQUIT was sent');
});
