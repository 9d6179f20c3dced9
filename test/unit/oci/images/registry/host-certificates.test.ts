import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { HostCertificates } from '../../../../../src/oci/images/registry/host-certificates.ts';

const root = mkdtempSync(join(tmpdir(), 'troupe-certificates-'));
afterEach(() => rmSync(root, { recursive: true, force: true }));

test('S18 a redirect’s host `..`, which a URL allows, leads out of no directory', async () => {
  expect(new URL('https://../x').host).toBe('..');
  const directory = join(root, 'certs.d');
  for (const name of ['', 'registry.example:5000', '[::1]:5000']) {
    mkdirSync(join(directory, name), { recursive: true });
    writeFileSync(join(directory, name, 'own.cert'), 'no certificate');
  }
  writeFileSync(join(root, 'own.cert'), 'no certificate');
  const certificates = new HostCertificates(() => [directory]);
  for (const host of ['..', '.']) expect(await certificates.of(host)).toBeUndefined();
  // these are checked: a certificate needs its key beside it
  for (const host of ['registry.example:5000', '[::1]:5000'])
    await expect(certificates.of(host)).rejects.toThrow('the key file own.key was not found');
});
