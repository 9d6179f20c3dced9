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
const REPOSITORY = 'registry.example/team/app';
const sigstore: Signature = { kind: 'sigstore', payload: new Uint8Array(Buffer.from('{}')), parts: { signature: 'c2ln', certificate: 'pem', chain: '', bundle: '{"a":1}' } };

let directory: string;
let kept: KeptSignatures;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'troupe-kept-'));
  kept = new KeptSignatures(join(directory, 'signatures'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

it('both kinds come back as they were, those of several pulls together and once', async () => {
  expect(await kept.of(image(1), REPOSITORY)).toBeUndefined();
  const first: Evidence = { digests: [digest(1)], signatures: [simple('a'), sigstore] };
  await kept.keep(image(1), REPOSITORY, first);
  expect(await kept.of(image(1), REPOSITORY)).toEqual(first);
  await Promise.all([kept.keep(image(1), REPOSITORY, { digests: [digest(2)], signatures: [simple('b')] }), kept.keep(image(1), REPOSITORY, { digests: [digest(1)], signatures: [simple('a')] })]);
  const all = await kept.of(image(1), REPOSITORY);
  expect([all?.digests.toSorted(), all?.signatures.length]).toEqual([[digest(1), digest(2)], 3]);
  expect(await kept.of(image(2), REPOSITORY)).toBeUndefined();
});

it('nobody else can read them', async () => {
  await kept.keep(image(1), REPOSITORY, { digests: [digest(1)], signatures: [sigstore] });
  const [file = ''] = readdirSync(join(directory, 'signatures'));
  expect([statSync(join(directory, 'signatures')).mode & 0o777, statSync(join(directory, 'signatures', file)).mode & 0o777]).toEqual([0o700, 0o600]);
});

it('one that is too large is left out, and others beside it are not', async () => {
  const large = simple('x'.repeat(signatureLimits.keptBytes));
  await kept.keep(image(1), REPOSITORY, { digests: [digest(1)], signatures: [large, simple('a')] });
  expect((await kept.of(image(1), REPOSITORY))?.signatures).toEqual([large]);
  await kept.keep(image(2), REPOSITORY, { digests: [digest(1)], signatures: [simple('x'.repeat(signatureLimits.keptBytes + 1)), simple('a')] });
  expect((await kept.of(image(2), REPOSITORY))?.signatures).toEqual([simple('a')]);
});

it.each(['', 'x', '{}', '{"digests":[],"signatures":[{"kind":"simple","message":"!"}]}', '{"digests":["../x"],"signatures":[]}'])('a file that holds %j is none, or says nothing', async (content) => {
  await kept.keep(image(1), REPOSITORY, { digests: [digest(1)], signatures: [sigstore] });
  const [file = ''] = readdirSync(join(directory, 'signatures'));
  writeFileSync(join(directory, 'signatures', file), content);
  expect((await kept.of(image(1), REPOSITORY))?.signatures ?? []).toEqual([]);
});

it('of more images than are kept those longest unused go', async () => {
  const evidence: Evidence = { digests: [digest(1)], signatures: [simple('a')] };
  const at = (seconds: number): Date => new Date(Date.UTC(2026, 0, 1) + seconds * 1000);
  for (let one = 0; one < signatureLimits.keptImages; one += 1) {
    await kept.keep(image(one), REPOSITORY, evidence);
    await kept.touch(image(one), REPOSITORY, at(one));
  }
  await kept.touch(image(0), REPOSITORY, at(signatureLimits.keptImages));
  await kept.keep(image(9999), REPOSITORY, evidence);
  expect(readdirSync(join(directory, 'signatures')).length).toBe(signatureLimits.keptImages);
  expect([await kept.of(image(0), REPOSITORY), await kept.of(image(1), REPOSITORY), await kept.of(image(9999), REPOSITORY)].map((one) => one !== undefined)).toEqual([true, false, true]);
  await expect(kept.touch(image(1), REPOSITORY, at(1))).resolves.toBeUndefined();
});

it('S86 what one repository is full of takes nothing away from another of the same image', async () => {
  const ours: Evidence = { digests: [digest(1)], signatures: [simple('ours')] };
  await kept.keep(image(1), REPOSITORY, ours);
  for (let at = 0; at < 3; at += 1) {
    await kept.keep(image(1), 'evil.example/x', { digests: [digest(2)], signatures: Array.from({ length: signatureLimits.signatures }, (_, one) => simple(`${at} ${one}`)) });
  }
  expect(await kept.of(image(1), REPOSITORY)).toEqual(ours);
  expect((await kept.of(image(1), 'evil.example/x'))?.digests).toEqual([digest(2)]);
});

it('S86 a file of an older version, for all repositories, still serves', async () => {
  const signatures = [{ kind: 'simple', message: Buffer.from('a').toString('base64') }];
  await kept.keep(image(2), REPOSITORY, { digests: [], signatures: [] });
  writeFileSync(join(directory, 'signatures', `sha256-${hex(1)}.json`), JSON.stringify({ digests: [digest(1)], signatures }));
  expect(await kept.of(image(1), REPOSITORY)).toEqual({ digests: [digest(1)], signatures: [simple('a')] });
});
