/** Certificates made by openssl when the tests run. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TlsMaterial } from './fake-registry.ts';

const REQUEST: readonly string[] =
  'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -batch -subj /CN=troupe-test -days 2'.split(
    ' ',
  );

/** Self-signed, for `names` (such as `DNS:r.example`, `IP:127.0.0.1`); an expired one ended yesterday. */
export function selfSigned(names: readonly string[], options: { expired?: boolean } = {}): TlsMaterial {
  const directory = mkdtempSync(join(tmpdir(), 'troupe-cert-'));
  try {
    const key = join(directory, 'key.pem');
    const cert = join(directory, 'cert.pem');
    execFileSync(
      'openssl',
      [...REQUEST, '-addext', `subjectAltName=${names.join(',')}`, '-keyout', key, '-out', cert],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    // req takes no negative days, signing again does
    if (options.expired === true) {
      execFileSync('openssl', ['x509', '-in', cert, '-signkey', key, '-days', '-1', '-out', cert], {
        stdio: ['ignore', 'ignore', 'pipe'],
      });
    }
    return { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
