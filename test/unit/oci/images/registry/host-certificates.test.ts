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

test.each([
  // as containers/image and containerd name it; its registry has another host
  ['docker.io', 'registry-1.docker.io'],
  ['registry-1.docker.io', 'registry-1.docker.io'],
  // a reference may name the default port, and then so does the directory in the peers
  ['r.example:443', 'r.example:443'],
  ['r.example', 'r.example:443'],
])('the directory %s is that of %s, and of no other host', async (name, host) => {
  const directory = join(root, 'certs.d');
  mkdirSync(join(directory, name), { recursive: true });
  writeFileSync(join(directory, name, 'own.cert'), 'no certificate');
  const certificates = new HostCertificates(() => [directory]);
  await expect(certificates.of(host)).rejects.toThrow(`${name}/own.cert: the key file own.key was not found`);
  for (const other of ['auth.docker.io', 'r.example:44', 's.example:443'])
    expect(await certificates.of(other)).toBeUndefined();
});

test('authorities are lent to other hosts without the node’s own certificate', async () => {
  const directory = join(root, 'certs.d');
  mkdirSync(join(directory, 'r.example'), { recursive: true });
  writeFileSync(join(directory, 'r.example/own.cert'), 'no certificate');
  const certificates = new HostCertificates(() => [directory]);
  expect(await certificates.authoritiesOf('r.example')).toBeUndefined();
  writeFileSync(join(directory, 'r.example/ca.crt'), '');
  expect(await certificates.authoritiesOf('r.example')).toBeDefined();
});
