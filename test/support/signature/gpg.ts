/** A GNUPGHOME of a test's own, with keys that can be used without a passphrase. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const GPG = '/usr/bin/gpg';

/** Programs that are missing for tests of OpenPGP signatures. */
export const missingGpg: readonly string[] = [GPG, '/usr/bin/gpgv', '/usr/bin/gpgconf'].filter(
  (path) => !existsSync(path),
);

export class GpgHome {
  // a short path: the agent's socket lies in it
  readonly directory = mkdtempSync(join(tmpdir(), 'trgpg-'));

  /** What programs that call gpg themselves need in their environment. */
  get env(): Readonly<Record<string, string>> {
    return { GNUPGHOME: this.directory, PATH: '/usr/bin:/bin', HOME: this.directory };
  }

  /** Makes a key for the name and gives its fingerprint. All options as gpg takes them. */
  key(
    name: string,
    {
      algorithm = 'ed25519',
      expires = 'never',
      at,
    }: { readonly algorithm?: string; readonly expires?: string; readonly at?: string } = {},
  ): string {
    this.gpg(['--passphrase', '', ...this.#at(at), '--quick-gen-key', name, algorithm, 'sign', expires]);
    const listed = this.gpg(['--with-colons', '--list-keys', `=${name}`]).toString();
    return /^fpr:+([0-9A-F]{40}):/mu.exec(listed)?.[1] ?? '';
  }

  /** Adds an ed25519 subkey that signs. */
  subkey(fingerprint: string): void {
    this.gpg(['--passphrase', '', '--quick-add-key', fingerprint, 'ed25519', 'sign', 'never']);
  }

  publicKey(fingerprint: string, how: 'armored' | 'binary' = 'armored'): Buffer {
    return this.gpg([...(how === 'armored' ? ['--armor'] : []), '--export', fingerprint]);
  }

  /** A signed message that holds its text, as skopeo makes them. */
  sign(
    text: string | Uint8Array,
    fingerprint: string,
    { at, more = [] }: { readonly at?: string; readonly more?: readonly string[] } = {},
  ): Buffer {
    return this.gpg([...this.#at(at), '--local-user', fingerprint, ...more, '--output', '-', '--sign'], text);
  }

  /** With its revocation. */
  revoke(fingerprint: string): void {
    // made with the key; gpg puts a colon before the first line so that nobody imports it by mistake
    const certificate = readFileSync(
      join(this.directory, 'openpgp-revocs.d', `${fingerprint}.rev`),
      'utf8',
    ).replace(/^:/mu, '');
    this.gpg(['--import'], certificate);
  }

  gpg(args: readonly string[], input: string | Uint8Array = ''): Buffer {
    return execFileSync(
      GPG,
      ['--homedir', this.directory, '--batch', '--yes', '--quiet', '--pinentry-mode', 'loopback', ...args],
      { input, stdio: ['pipe', 'pipe', 'pipe'], env: this.env },
    );
  }

  #at(time: string | undefined): readonly string[] {
    return time === undefined ? [] : ['--faked-system-time', time];
  }

  /** Ends its agent and takes it away. */
  close(): void {
    execFileSync('/usr/bin/gpgconf', ['--homedir', this.directory, '--kill', 'all'], {
      stdio: 'ignore',
      env: this.env,
    });
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** What simple signing signs. */
export function simplePayload(digest: string, reference: string, critical: object = {}): string {
  return JSON.stringify({
    critical: {
      identity: { 'docker-reference': reference },
      image: { 'docker-manifest-digest': digest },
      type: 'atomic container signature',
      ...critical,
    },
    optional: { creator: 'test', timestamp: 1 },
  });
}
