// How a plugin is brought up to date.
import { expect, test } from 'vitest';
import { nriLimits } from '../../../src/nri/bounds.ts';
import { synchronizeMs } from '../../../src/nri/bounded.ts';
import type { ContainerMessage } from '../../../src/nri/facts.ts';
import type { Plugin } from '../../../src/nri/plugin.ts';
import { synchronize } from '../../../src/nri/synchronize.ts';
import { HandClock } from '../../support/hand-clock.ts';

test('S85 containers are described one message at a time, not all before the first is sent', async () => {
  let described = 0;
  async function* containers(): AsyncGenerator<ContainerMessage> {
    const labels = { big: 'x'.repeat(nriLimits.synchronizeBytes / 4) };
    for (let at = 0; at < 100; at += 1) {
      described += 1;
      yield { id: String(at), labels };
    }
  }
  const sent: {
    readonly ids: readonly (string | undefined)[];
    readonly described: number;
    readonly more: boolean;
  }[] = [];
  const call: unknown = async (
    _method: unknown,
    { containers: reported = [], more = false }: { containers?: ContainerMessage[]; more?: boolean },
  ) => {
    sent.push({ ids: reported.map(({ id }) => id), described, more });
    return { more, update: [] };
  };
  await synchronize({ id: '10-p', call: call as Plugin['call'] }, [], containers(), {
    clock: new HandClock(),
    callsMs: 0,
  });
  expect(sent.flatMap(({ ids }) => ids)).toEqual(Array.from({ length: 100 }, (_none, at) => String(at)));
  expect(sent.map(({ more }) => more)).toEqual([...sent.slice(1).map(() => true), false]);
  let before = 0;
  for (const { ids, described: now, more } of sent) {
    before += ids.length;
    // its own, those of the next part, and the one that begins the part after
    if (more) expect(now).toBeLessThanOrEqual(before + 5);
  }
});

test('S90 a plugin that is slow for each of many messages does not delay the events of all pods for ever', async () => {
  async function* containers(): AsyncGenerator<ContainerMessage> {
    for (let at = 0; at < 100; at += 1)
      yield { id: String(at), labels: { big: 'x'.repeat(nriLimits.synchronizeBytes) } };
  }
  const clock = new HandClock();
  let calls = 0;
  const given: number[] = [];
  const call: unknown = async (_method: unknown, { more = false }: { more?: boolean }, mostMs: number) => {
    calls += 1;
    given.push(mostMs);
    clock.nowMs += 1900;
    return { more, update: [] };
  };
  const synchronizing = synchronize({ id: '10-p', call: call as Plugin['call'] }, [], containers(), {
    clock,
    callsMs: synchronizeMs(2000),
  });
  await expect(synchronizing).rejects.toThrow(/timed out after 20000 ms/u);
  expect(calls).toBe(11);
  // the last one has what is left of the whole
  expect(given).toEqual(Array.from({ length: 11 }, (_none, at) => 20_000 - 1900 * at));
});

test('S90 reads between the calls do not count as the plugin’s time, and a longer bound for one call is one for all', async () => {
  const clock = new HandClock();
  async function* containers(): AsyncGenerator<ContainerMessage> {
    for (let at = 0; at < 11; at += 1) {
      clock.nowMs += 60_000;
      yield { id: String(at), labels: { big: 'x'.repeat(nriLimits.synchronizeBytes) } };
    }
  }
  let calls = 0;
  const call: unknown = async (_method: unknown, { more = false }: { more?: boolean }) => {
    calls += 1;
    clock.nowMs += 4000;
    return { more, update: [] };
  };
  const synchronizing = synchronize({ id: '10-p', call: call as Plugin['call'] }, [], containers(), {
    clock,
    callsMs: synchronizeMs(20_000),
  });
  await expect(synchronizing).resolves.toEqual([]);
  expect(calls).toBe(11);
});
