// Removing an image by a name that registries.conf gives its meaning.
import { expect, test } from 'vitest';
import { removeImage } from '../../../../src/actors/images/remove-image.ts';
import { fail } from '../../../../src/base/fault.ts';
import { imageId } from '../fixtures.ts';

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
