/** Signatures that are kept of images: added up, bounded, and nothing that is damaged comes back. */
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Digest, ImageId } from '../../../src/base/ids.ts';
import { signatureLimits } from '../../../src/base/limits.ts';
import { KeptSignatures, type Evidence } from '../../../src/oci/signature/kept-signatures.ts';
import type { Signature } from '../../../src/oci/signature/signature.ts';

const hex = (value: number): string => value.toString(16).padStart(64, '0');
const image = (value: number): ImageId => `sha256:${hex(value)}` as ImageId;
const digest = (value: number): Digest => `sha256:${hex(value)}` as Digest;
const simple = (text: string): Signature => ({ kind: 'simple', message: new Uint8Array(Buffer.from(text)) });
const sigstore: Signature = { kind: 'sigstore', payload: new Uint8Array(Buffer.from('{}')), parts: { signature: 'c2ln', certificate: 'pem', chain: '', bundle: '{"a":1}' } };

let directory: string;
let kept: KeptSignatures;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'troupe-kept-'));
  kept = new KeptSignatures(join(directory, 'signatures'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

it('both kinds come back as they were, those of several pulls together and once', async () => {
  expect(await kept.of(image(1))).toBeUndefined();
  const first: Evidence = { digests: [digest(1)], signatures: [simple('a'), sigstore] };
  await kept.keep(image(1), first);
  expect(await kept.of(image(1))).toEqual(first);
  await Promise.all([kept.keep(image(1), { digests: [digest(2)], signatures: [simple('b')] }), kept.keep(image(1), { digests: [digest(1)], signatures: [simple('a')] })]);
  const all = await kept.of(image(1));
  expect([all?.digests.toSorted(), all?.signatures.length]).toEqual([[digest(1), digest(2)], 3]);
  expect(await kept.of(image(2))).toBeUndefined();
});

it('nobody else can read them', async () => {
  await kept.keep(image(1), { digests: [digest(1)], signatures: [sigstore] });
  const [file = ''] = readdirSync(join(directory, 'signatures'));
  expect([statSync(join(directory, 'signatures')).mode & 0o777, statSync(join(directory, 'signatures', file)).mode & 0o777]).toEqual([0o700, 0o600]);
});

it('one that is too large is left out, and others beside it are not', async () => {
  const large = simple('x'.repeat(signatureLimits.keptBytes));
  await kept.keep(image(1), { digests: [digest(1)], signatures: [large, simple('a')] });
  expect((await kept.of(image(1)))?.signatures).toEqual([large]);
  await kept.keep(image(2), { digests: [digest(1)], signatures: [simple('x'.repeat(signatureLimits.keptBytes + 1)), simple('a')] });
  expect((await kept.of(image(2)))?.signatures).toEqual([simple('a')]);
});

it.each(['', 'x', '{}', '{"digests":[],"signatures":[{"kind":"simple","message":"!"}]}', '{"digests":["../x"],"signatures":[]}'])('a file that holds %j is none, or says nothing', async (content) => {
  await kept.keep(image(1), { digests: [digest(1)], signatures: [sigstore] });
  const [file = ''] = readdirSync(join(directory, 'signatures'));
  writeFileSync(join(directory, 'signatures', file), content);
  expect((await kept.of(image(1)))?.signatures ?? []).toEqual([]);
});

it('of more images than are kept those longest unused go', async () => {
  const evidence: Evidence = { digests: [digest(1)], signatures: [simple('a')] };
  const at = (seconds: number): Date => new Date(Date.UTC(2026, 0, 1) + seconds * 1000);
  for (let one = 0; one < signatureLimits.keptImages; one += 1) {
    await kept.keep(image(one), evidence);
    await kept.touch(image(one), at(one));
  }
  await kept.touch(image(0), at(signatureLimits.keptImages));
  await kept.keep(image(9999), evidence);
  expect(readdirSync(join(directory, 'signatures')).length).toBe(signatureLimits.keptImages);
  expect([await kept.of(image(0)), await kept.of(image(1)), await kept.of(image(9999))].map((one) => one !== undefined)).toEqual([true, false, true]);
  await expect(kept.touch(image(1), at(1))).resolves.toBeUndefined();
});
