/** Signatures that are kept of images: added up, bounded, and nothing that is damaged comes back. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Conditions } from '../../../src/base/conditions.ts';
import type { Digest, ImageId } from '../../../src/base/ids.ts';
import { signatureLimits } from '../../../src/oci/images/bounds.ts';
import { silentLog } from '../../../src/base/log.ts';
import type { KeptFor } from '../../../src/oci/images/signature/kept-index.ts';
import { KeptSignatures, type SignatureEvidence } from '../../../src/oci/images/signature/kept-signatures.ts';
import type { Signature } from '../../../src/oci/images/signature/signature.ts';

const hex = (value: number): string => value.toString(16).padStart(64, '0');
const image = (value: number): ImageId => `sha256:${hex(value)}` as ImageId;
const digest = (value: number): Digest => `sha256:${hex(value)}` as Digest;
const simple = (text: string): Signature => ({ kind: 'simple', message: new Uint8Array(Buffer.from(text)) });
const REPOSITORY = 'registry.example/team/app';
const of = (value: number, repository = REPOSITORY, namespace = 'a'): KeptFor => ({
  id: image(value),
  repository,
  namespace,
});
const sigstore: Signature = {
  kind: 'sigstore',
  payload: new Uint8Array(Buffer.from('{}')),
  parts: { signature: 'c2ln', certificate: 'pem', chain: '', bundle: '{"a":1}' },
};

let directory: string;
let kept: KeptSignatures;
let discarded: string[];
/** At no moment that matters. */
const keep = (wanted: KeptFor, evidence: SignatureEvidence, nowMs = 1000): Promise<void> =>
  kept.keep(wanted, evidence, nowMs);
const at = (path: string): string => join(directory, 'signatures', path);
const conditions = new Conditions(silentLog);
/** As a daemon that has just started. */
const opened = (): KeptSignatures =>
  new KeptSignatures({
    directory: join(directory, 'signatures'),
    conditions,
    discard: (path) => {
      discarded.push(path);
      return Promise.reject(new Error('on another disk'));
    },
  });
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'troupe-kept-'));
  discarded = [];
  kept = opened();
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

it('signatures of both kinds are read back unchanged, those of several pulls together and once', async () => {
  expect(await kept.of(of(1, REPOSITORY))).toBeUndefined();
  const first: SignatureEvidence = { digests: [digest(1)], signatures: [simple('a'), sigstore] };
  await keep(of(1, REPOSITORY), first);
  expect(await kept.of(of(1, REPOSITORY))).toEqual(first);
  await Promise.all([
    keep(of(1, REPOSITORY), { digests: [digest(2)], signatures: [simple('b')] }),
    keep(of(1, REPOSITORY), { digests: [digest(1)], signatures: [simple('a')] }),
  ]);
  const all = await kept.of(of(1, REPOSITORY));
  expect([all?.digests.toSorted(), all?.signatures.length]).toEqual([[digest(1), digest(2)], 3]);
  expect(await kept.of(of(2, REPOSITORY))).toBeUndefined();
});

it('only the owner can read kept signatures', async () => {
  await keep(of(1, REPOSITORY), { digests: [digest(1)], signatures: [sigstore] });
  const [file = ''] = readdirSync(join(directory, 'signatures'));
  expect([
    statSync(join(directory, 'signatures')).mode & 0o777,
    statSync(join(directory, 'signatures', file)).mode & 0o777,
  ]).toEqual([0o700, 0o600]);
});

it('a signature that is too large is left out, others are kept', async () => {
  const large = simple('x'.repeat(signatureLimits.keptBytes));
  await keep(of(1, REPOSITORY), { digests: [digest(1)], signatures: [large, simple('a')] });
  expect((await kept.of(of(1, REPOSITORY)))?.signatures).toEqual([large]);
  await keep(of(2, REPOSITORY), {
    digests: [digest(1)],
    signatures: [simple('x'.repeat(signatureLimits.keptBytes + 1)), simple('a')],
  });
  expect((await kept.of(of(2, REPOSITORY)))?.signatures).toEqual([simple('a')]);
});

it.each([
  '',
  'x',
  '{}',
  '{"digests":[],"signatures":[{"kind":"simple","message":"!"}]}',
  '{"digests":["../x"],"signatures":[]}',
])('a file that holds %j counts as empty', async (content) => {
  await keep(of(1, REPOSITORY), { digests: [digest(1)], signatures: [sigstore] });
  const [file = ''] = readdirSync(join(directory, 'signatures'));
  writeFileSync(join(directory, 'signatures', file), content);
  expect((await kept.of(of(1, REPOSITORY)))?.signatures ?? []).toEqual([]);
});

const evidence: SignatureEvidence = { digests: [digest(1)], signatures: [simple('a')] };
const isKept = async (...wanted: readonly KeptFor[]): Promise<boolean[]> => {
  const found: boolean[] = [];
  for (const one of wanted) found.push((await kept.of(one)) !== undefined);
  return found;
};

it('beyond the bound the signatures of the longest unused images are deleted, also after a start', async () => {
  const { keptImages } = signatureLimits;
  for (let one = 0; one < keptImages; one += 1) await keep(of(one), evidence, 1000 + one);
  await kept.used(of(0), 10_000);
  await keep(of(9998), evidence, 10_001);
  expect(readdirSync(at('')).length).toBe(keptImages);
  kept = opened();
  await keep(of(9999), evidence, 10_002);
  expect(readdirSync(at('')).length).toBe(keptImages);
  expect(await isKept(of(0), of(1), of(2), of(3), of(9998), of(9999))).toEqual([
    true,
    false,
    false,
    true,
    true,
    true,
  ]);
  await kept.used(of(1), 20_000);
  expect(await isKept(of(1))).toEqual([false]);
});

it('S86 what one namespace pulls takes nothing away from others, whether they pulled it themselves or use another’s pull', async () => {
  await keep(of(1, REPOSITORY, 'quiet'), evidence, 1000);
  await keep(of(2, REPOSITORY, 'hostile'), evidence, 1001);
  await kept.used(of(2, REPOSITORY, 'quiet'), 1002);
  for (let one = 0; one < signatureLimits.keptImages + 10; one += 1)
    await keep(of(100 + one, REPOSITORY, 'hostile'), evidence, 2000 + one);
  expect(
    await isKept(of(1, REPOSITORY, 'quiet'), of(2, REPOSITORY, 'quiet'), of(100, REPOSITORY, 'hostile')),
  ).toEqual([true, true, false]);
  expect(readdirSync(at('')).length).toBe(signatureLimits.keptImages);
});

it('signatures kept for one namespace serve another', async () => {
  await keep(of(1, REPOSITORY, 'one'), evidence);
  expect(await kept.of(of(1, REPOSITORY, 'other'))).toEqual(evidence);
  expect(await isKept(of(1, 'registry.example/elsewhere', 'one'))).toEqual([false]);
});

it('F89 a directory, a link or a FIFO in place of a file counts as no signatures, and is replaced by the next ones', async () => {
  await keep(of(1), evidence);
  const [file = ''] = readdirSync(at(''));
  for (const name of [file, `${file}.new`]) {
    for (const plant of [
      () => mkdirSync(at(`${name}/below/it`), { recursive: true }),
      () => symlinkSync('/dev/zero', at(name)),
      () => execFileSync('mkfifo', [at(name)]),
    ]) {
      rmSync(at(name), { force: true });
      plant();
      kept = opened();
      if (name === file) expect(await kept.of(of(1))).toBeUndefined();
      mkdirSync(at('of-nobody/below'), { recursive: true });
      await keep(of(1), evidence);
      expect(await kept.of(of(1))).toEqual(evidence);
    }
  }
  kept = opened();
  await keep(of(2), evidence);
  expect([readdirSync(at('')).length, discarded.length > 0, conditions.all()]).toEqual([2, true, []]);
});

it('F89 a file in the place of the directory keeps nothing, and fails no other work', async () => {
  writeFileSync(at(''), 'x');
  expect(await kept.of(of(1))).toBeUndefined();
  await expect(keep(of(1), evidence)).rejects.toThrow('EEXIST');
});

it('S86 a repository full of signatures takes nothing away from another one of the same image', async () => {
  const ours: SignatureEvidence = { digests: [digest(1)], signatures: [simple('ours')] };
  await keep(of(1, REPOSITORY), ours);
  for (let at = 0; at < 3; at += 1) {
    await keep(of(1, 'evil.example/x'), {
      digests: [digest(2)],
      signatures: Array.from({ length: signatureLimits.signatures }, (_, one) => simple(`${at} ${one}`)),
    });
  }
  expect(await kept.of(of(1, REPOSITORY))).toEqual(ours);
  expect((await kept.of(of(1, 'evil.example/x')))?.digests).toEqual([digest(2)]);
});

it('S86 a file of an older version, for all repositories, is still read', async () => {
  const signatures = [{ kind: 'simple', message: Buffer.from('a').toString('base64') }];
  await keep(of(2, REPOSITORY), { digests: [], signatures: [] });
  writeFileSync(
    join(directory, 'signatures', `sha256-${hex(1)}.json`),
    JSON.stringify({ digests: [digest(1)], signatures }),
  );
  expect(await kept.of(of(1, REPOSITORY))).toEqual({ digests: [digest(1)], signatures: [simple('a')] });
});
