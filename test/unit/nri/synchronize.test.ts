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
  await synchronize({ id: '10-p', call: call as Plugin['call'] }, [], containers());
  expect(sent.flatMap(({ ids }) => ids)).toEqual(Array.from({ length: 100 }, (_none, at) => String(at)));
  expect(sent.map(({ more }) => more)).toEqual([...sent.slice(1).map(() => true), false]);
  let before = 0;
  for (const { ids, described: now, more } of sent) {
    before += ids.length;
    // its own, those of the next part, and the one that begins the part after
    if (more) expect(now).toBeLessThanOrEqual(before + 5);
  }
});
