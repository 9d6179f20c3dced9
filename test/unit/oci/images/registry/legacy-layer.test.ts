import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { measureLayer } from '../../../../../src/oci/images/registry/legacy-layer.ts';
import type { RegistrySession } from '../../../../../src/oci/images/registry/session.ts';
import { digestOf } from '../../layers/tar-builder.ts';

const MIB = 1024 * 1024;

/** A registry that has this blob. */
function having(blob: Buffer): RegistrySession {
  const body = {
    // eslint-disable-next-line func-names -- a generator
    pieces: async function* () {
      for (let at = 0; at < blob.length; at += 1024) yield blob.subarray(at, at + 1024);
    },
    discard: () => undefined,
  };
  return {
    ask: (_ask: unknown, read: (response: unknown) => Promise<unknown>) =>
      read({ status: 200, host: 'registry.example', body }),
  } as never;
}

test('S59 a layer of schema 1, read before the policy is asked, unpacks to no more than the manifest’s remaining bytes', async () => {
  const blob = gzipSync(Buffer.alloc(8 * MIB));
  const measure = (mostBytes: number) =>
    measureLayer(having(blob), digestOf(blob), mostBytes, new AbortController().signal, 'pull x');
  expect(await measure(8 * MIB)).toMatchObject({
    digest: digestOf(blob),
    size: blob.length,
    tarBytes: 8 * MIB,
  });
  await expect(measure(2 * MIB)).rejects.toMatchObject({
    fault: {
      kind: 'exhausted',
      message: expect.stringContaining(
        'the layers of a manifest of schema 1 unpack to more than 4294967296 bytes',
      ) as string,
    },
  });
});
