// Removing an image by a name that has no meaning, or several.
import { expect, test } from 'vitest';
import { removeImage } from '../../../../src/actors/images/remove-image.ts';
import { fail } from '../../../../src/base/fault.ts';
import { imageId, imageRecord } from '../fixtures.ts';
import { EasyWorld } from '../easy-ports.ts';
import { ledgerFold } from '../../../../src/actors/ledger/ledger.ts';
import type { ImageId } from '../../../../src/base/ids.ts';

test('F95: while registries.conf is invalid a short name is not answered as removed; a missing id is', async () => {
  const candidates = (): never =>
    fail('denied', 'resolve image nginx: it is a short name, and /etc/containers/registries.conf: line 1');
  const stage = {
    directory: { pulls: () => [] },
    ledger: { images: new Map() },
    ports: { images: { candidates } },
  } as never;
  const call = { signal: new AbortController().signal, deadlineMs: undefined } as never;
  await expect(removeImage(stage, 'nginx', call)).rejects.toMatchObject({
    fault: { kind: 'denied', message: expect.stringContaining('RemoveImage nginx') as string },
  });
  await removeImage(stage, imageId(), call);
});

test('a prefix of several ids is refused, and no image is removed', async () => {
  const world = await EasyWorld.serving();
  const ids = ['a', 'b'].map((digit) => `sha256:${'7'.repeat(63)}${digit}` as ImageId);
  for (const id of ids) {
    const image = imageRecord({ id, repoTags: [], repoDigests: [] });
    ledgerFold.apply(world.ledger, { type: 'image.present', image });
  }
  const remove = async (name: string): Promise<void> => await world.troupe.removeImage(name, world.call());
  const present = (): readonly string[] =>
    world.troupe.images().flatMap(({ id }) => (ids.includes(id) ? [id] : []));
  await expect(remove('77777')).rejects.toMatchObject({
    fault: { kind: 'invalidRequest', message: 'RemoveImage 77777: it is a prefix of several ids' },
  });
  expect(world.troupe.isAmbiguousImage('77777')).toBe(true);
  expect(present()).toEqual(ids);
  await remove(`${'7'.repeat(63)}a`);
  await remove('77777');
  expect(present()).toEqual([]);
});
