/** OpenPGP signatures by gpg, verified by gpgv as the daemon runs it. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { realClock } from '../../../src/host/clock/clock.ts';
import { runTool } from '../../../src/host/process/process-tool.ts';
import { realRandom } from '../../../src/host/clock/random.ts';
import { Gpgv, type OpenedMessage } from '../../../src/oci/images/signature/gpgv.ts';
import { GpgHome, missingGpg } from '../../support/signature/gpg.ts';
import { unless, lacking } from '../../support/skips/unless.ts';

if (missingGpg.length > 0)
  console.warn(`skipped: ${missingGpg.join(', ')} not installed (Debian: apt-get install gpg gpgv)`);

const never = new AbortController().signal;

unless(describe, lacking(...missingGpg))('S49: OpenPGP signatures, by gpgv outside of the daemon', () => {
  let home: GpgHome;
  let directory: string;
  let gpgv: Gpgv;
  let key: string;
  let untrusted: string;
  beforeAll(() => {
    home = new GpgHome();
    directory = mkdtempSync(join(tmpdir(), 'troupe-gpgv-'));
    gpgv = new Gpgv({
      directory: join(directory, 'rings'),
      random: realRandom(),
      clock: realClock(),
      findProgram: async () => '/usr/bin/gpgv',
      runTool,
    });
    key = home.key('signer');
    untrusted = home.key('untrusted');
  });
  afterAll(() => {
    home?.close();
    rmSync(directory, { recursive: true, force: true });
  });

  const open = (message: Uint8Array, ...keys: readonly Uint8Array[]): Promise<OpenedMessage> =>
    gpgv.open(message, keys.length > 0 ? keys : [home.publicKey(key)], never);
  const text = (opened: OpenedMessage): string =>
    'payload' in opened ? Buffer.from(opened.payload).toString() : `refused: ${opened.refusal}`;

  it('returns the signed text, with keys in either form, among several, in one file or more, and leaves nothing behind', async () => {
    const message = home.sign('hello', key);
    expect(text(await open(message))).toBe('hello');
    expect(text(await open(message, home.publicKey(key, 'binary')))).toBe('hello');
    expect(text(await open(message, home.publicKey(untrusted), home.publicKey(key)))).toBe('hello');
    expect(text(await open(message, Buffer.concat([home.publicKey(untrusted), home.publicKey(key)])))).toBe(
      'hello',
    );
    expect(text(await open(home.sign('hello', key, { more: ['--compress-algo', 'none'] })))).toBe('hello');
    expect(readdirSync(join(directory, 'rings'))).toEqual([]);
  });

  it('a signature by a subkey counts for its key', async () => {
    const own = home.key('with subkey');
    home.subkey(own);
    expect(text(await open(home.sign('hello', own), home.publicKey(own)))).toBe('hello');
  });

  it.each([
    ['by an unknown key', () => home.sign('hello', untrusted), /not in the policy/u],
    [
      'not signed',
      () => home.gpg(['--store', '--output', '-'], 'hello'),
      /exactly one good signature|not a signed/u,
    ],
    [
      'signed by two',
      () => home.sign('hello', key, { more: ['--local-user', untrusted] }),
      /not in the policy/u,
    ],
    [
      'a signature of a text elsewhere',
      () => home.gpg(['--local-user', key, '--output', '-', '--detach-sign'], 'hello'),
      /refused/u,
    ],
    [
      'with SHA-1',
      () => home.sign('hello', key, { more: ['--digest-algo', 'SHA1', '--allow-weak-digest-algos'] }),
      /too weak|cannot be checked|does not match/u,
    ],
    ['nothing', () => Buffer.alloc(0), /refused/u],
    ['garbage', () => Buffer.from('garbage'.repeat(100)), /refused/u],
    ['cut off', () => home.sign('hello', key).subarray(0, -10), /refused/u],
  ])('a message %s is refused', async (_what, message, reason) => {
    expect(text(await open(message()))).toMatch(reason);
    expect(text(await open(message()))).toMatch(/^refused: /u);
  });

  it('each single altered byte is refused, or gives the same text', async () => {
    const message = home.sign('hello', key, { more: ['--compress-algo', 'none'] });
    for (let at = 0; at < message.length; at += 7) {
      const altered = Buffer.from(message);
      altered[at] = (altered[at] ?? 0) ^ 0x20;
      expect(text(await open(altered)), `byte ${at}`).toMatch(/^refused: |^hello$/u);
    }
    const changed = Buffer.from(message);
    const place = changed.indexOf('hello');
    changed.write('jello', place);
    expect(text(await open(changed))).toMatch(/does not match the signed content/u);
  });

  it('an expired key, a key that was revoked and a signature that has expired are refused', async () => {
    const expired = home.key('expired', { at: '20200101T000000!', expires: '1y' });
    expect(
      text(await open(home.sign('hello', expired, { at: '20200201T000000!' }), home.publicKey(expired))),
    ).toMatch(/key has expired/u);
    const old = home.key('old', { at: '20200101T000000!' });
    expect(text(await open(home.sign('hello', old, { at: '20200201T000000!' }), home.publicKey(old)))).toBe(
      'hello',
    );
    const late = home.sign('hello', old, {
      more: ['--default-sig-expire', 'seconds=60'],
      at: '20200201T000000!',
    });
    expect(text(await open(late, home.publicKey(old)))).toMatch(/signature has expired/u);
    const revoked = home.key('revoked');
    const message = home.sign('hello', revoked);
    expect(text(await open(message, home.publicKey(revoked)))).toBe('hello');
    home.revoke(revoked);
    expect(text(await open(message, home.publicKey(revoked)))).toMatch(/revoked/u);
  });

  it('a message that unpacks beyond the bound is refused', async () => {
    const bomb = home.sign(Buffer.alloc(8 * 1024 * 1024), key);
    expect(bomb.length).toBeLessThan(100_000);
    expect(text(await open(bomb))).toMatch(/longer than/u);
  });

  it('invalid keys, and a missing gpgv, are errors of policy or machine, not refusals', async () => {
    await expect(open(home.sign('hello', key), Buffer.from('no key'))).rejects.toMatchObject({
      fault: { kind: 'invalidRequest' },
    });
    await expect(
      open(home.sign('hello', key), home.gpg(['--armor', '--export-secret-keys', key])),
    ).rejects.toMatchObject({ fault: { kind: 'invalidRequest' } });
  });

  it('the daemon itself loads no OpenPGP library', () => {
    const script = `const { Gpgv } = await import(${JSON.stringify(join(import.meta.dirname, '../../../src/oci/images/signature/gpgv.ts'))}); if (typeof Gpgv !== 'function') process.exit(1); const { readFileSync } = await import('node:fs'); process.stdout.write(readFileSync('/proc/self/maps', 'utf8'));`;
    expect(execFileSync(process.execPath, ['--input-type=module', '-e', script]).toString()).not.toMatch(
      /gpgme|libgcrypt|libassuan/u,
    );
  });
});
