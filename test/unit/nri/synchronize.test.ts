// How a plugin is brought up to date.
import { expect, test } from 'vitest';
import { nriLimits } from '../../../src/base/limits.ts';
import type { ContainerMessage } from '../../../src/nri/facts.ts';
import type { Plugin } from '../../../src/nri/plugin.ts';
import { synchronize } from '../../../src/nri/synchronize.ts';

test('S85 containers are described as their message is made, and not all before the first is sent', async () => {
  let described = 0;
  async function* containers(): AsyncGenerator<ContainerMessage> {
    const labels = { big: 'x'.repeat(nriLimits.synchronizeBytes / 4) };
    for (let at = 0; at < 100; at += 1) {
      described += 1;
      yield { id: String(at), labels };
    }
  }
  const sent: { readonly ids: readonly (string | undefined)[]; readonly described: number; readonly more: boolean }[] = [];
  const call: unknown = async (_method: unknown, { containers: told = [], more = false }: { containers?: ContainerMessage[]; more?: boolean }) => {
    sent.push({ ids: told.map(({ id }) => id), described, more });
    return { more, update: [] };
  };
  await synchronize({ id: '10-p', call: call as Plugin['call'] }, [], containers(), () => false);
  expect(sent.flatMap(({ ids }) => ids)).toEqual(Array.from({ length: 100 }, (_none, at) => String(at)));
  expect(sent.map(({ more }) => more)).toEqual([...sent.slice(1).map(() => true), false]);
  let before = 0;
  for (const { ids, described: now, more } of sent) {
    before += ids.length;
    // its own, those of the next part, and the one that begins the part after
    if (more) expect(now).toBeLessThanOrEqual(before + 5);
  }
});

test('S90 a plugin that takes its time for each of many messages does not hold the events of all pods for ever', async () => {
  async function* containers(): AsyncGenerator<ContainerMessage> {
    for (let at = 0; at < 100; at += 1) yield { id: String(at), labels: { big: 'x'.repeat(nriLimits.synchronizeBytes) } };
  }
  let calls = 0;
  const call: unknown = async (_method: unknown, { more = false }: { more?: boolean }) => ({ more, update: [], calls: (calls += 1) });
  const synchronizing = synchronize({ id: '10-p', call: call as Plugin['call'] }, [], containers(), () => calls >= 3);
  await expect(synchronizing).rejects.toThrow(/it has taken more than 20000 ms for all its messages/u);
  expect(calls).toBe(3);
});
