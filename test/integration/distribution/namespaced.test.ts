/** Credentials that are good for one pull in one namespace. */
import { existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { distributionLimits } from '../../../src/oci/images/bounds.ts';
import { realClock } from '../../../src/host/clock/clock.ts';
import { takeNamespaced, namespacedFile } from '../../../src/oci/images/registry/namespaced-credentials.ts';
import { NodeCredentials } from '../../../src/oci/images/registry/node-credentials.ts';
import { parseReference } from '../../../src/oci/images/model/reference.ts';
import { scratch } from '../unpack/support.ts';
import { faultOf } from '../../support/fault-of.ts';
import { everyNameIs, insecure, noAuth, rigOf } from '../../support/registry/rig.ts';
import { FakeRegistry } from '../../support/registry/fake-registry.ts';
import { imageOf, layerOf } from '../../support/registry/images.ts';
import { guard } from '../../support/registry/tokens.ts';
import { belongTo, ownedCredentials } from '../../../src/oci/images/registry/auth.ts';

describe('credentials of a namespace', () => {
  const root = scratch('namespaced');
  let made = 0;
  const node = new NodeCredentials({
    files: () => [],
    findHelper: async () => '/none',
    runTool: async () => expect.fail('a helper was run'),
    clock: realClock(),
  });
  const signal = new AbortController().signal;
  const place = (): string => {
    const directory = join(root, `auth-${(made += 1)}`);
    mkdirSync(directory);
    return directory;
  };
  const take = (directory: string, namespace: string, ...references: readonly string[]) =>
    takeNamespaced({ directory, node }, references.map(parseReference), namespace, signal);
  const auth = (server: string): string =>
    JSON.stringify({ auths: { [server]: { username: 'u', password: 'p' } } });

  it('the file is named as CRI-O names it: the hash of the repository, without tag or digest', () => {
    const hash = createHash('sha256').update('quay.io/crio/fedora-crio-ci').digest('hex');
    // the figure stands in CRI-O's own test of it
    expect(hash).toBe('7aa25047c59c6c2e20b839f5b9820e3702dade4a97154d4df1f5cd1a9b44cfde');
    expect(namespacedFile('default', parseReference('quay.io/crio/fedora-crio-ci:latest'))).toBe(
      `default-${hash}.json`,
    );
    expect(namespacedFile('a', parseReference('busybox'))).toBe(
      namespacedFile('a', parseReference('docker.io/library/busybox:1.36')),
    );
  });

  it('is used once, for this image and this namespace alone', async () => {
    const directory = place();
    const file = join(directory, namespacedFile('team', parseReference('r.example/a:1')));
    writeFileSync(file, auth('r.example'));
    expect(await take(directory, 'other', 'r.example/a:1')).toBeUndefined();
    expect(await take(directory, 'team', 'r.example/b:1')).toBeUndefined();
    expect(existsSync(file)).toBe(true);
    expect(await take(directory, 'team', 'r.example/a:2')).toEqual({
      ...noAuth,
      username: 'u',
      password: 'p',
      serverAddress: 'r.example',
    });
    expect(await take(directory, 'team', 'r.example/a:1')).toBeUndefined();
    expect(readdirSync(directory)).toEqual([]);
  });

  it('only one of many concurrent pulls gets it', async () => {
    const directory = place();
    writeFileSync(join(directory, namespacedFile('team', parseReference('r.example/a'))), auth('r.example'));
    const all = await Promise.all(Array.from({ length: 20 }, () => take(directory, 'team', 'r.example/a')));
    expect(all.filter((one) => one !== undefined).length).toBe(1);
  });

  it('an entry for another registry is not used, and the file is deleted', async () => {
    const directory = place();
    writeFileSync(
      join(directory, namespacedFile('team', parseReference('r.example/a'))),
      auth('other.example'),
    );
    expect(await take(directory, 'team', 'r.example/a')).toBeUndefined();
    writeFileSync(join(directory, namespacedFile('team', parseReference('r.example/a'))), '{}');
    expect(await take(directory, 'team', 'r.example/a')).toBeUndefined();
    expect(readdirSync(directory)).toEqual([]);
  });

  it('an entry that cannot be used is reported, unless another reference has one', async () => {
    const directory = place();
    const plant = (): void =>
      writeFileSync(
        join(directory, namespacedFile('team', parseReference('a.example/x'))),
        JSON.stringify({ auths: { 'a.example': { auth: '!!secret!!' } } }),
      );
    plant();
    const fault = await faultOf(take(directory, 'team', 'a.example/x', 'b.example/x'));
    expect(fault).toMatchObject({ kind: 'invalidRequest' });
    expect(fault.message).toMatch(/auths of a\.example: auth is not base64 of username:password$/u);
    plant();
    writeFileSync(join(directory, namespacedFile('team', parseReference('b.example/x'))), auth('b.example'));
    expect(await take(directory, 'team', 'a.example/x', 'b.example/x')).toMatchObject({ username: 'u' });
    expect(readdirSync(directory)).toEqual([]);
  });

  it('of a short name are searched for each reference that it may mean', async () => {
    const directory = place();
    writeFileSync(join(directory, namespacedFile('team', parseReference('b.example/x'))), auth('b.example'));
    expect(await take(directory, 'team', 'a.example/x', 'b.example/x')).toMatchObject({ username: 'u' });
  });

  it('S79 of a short name go to the registry of their own reference, and to no other search registry', async () => {
    const [first, second] = [await FakeRegistry.start(), await FakeRegistry.start()];
    const basic = `Basic ${Buffer.from('u:p').toString('base64')}`;
    const [a, b] = [`a.example:${first.port}`, `b.example:${second.port}`];
    const made = rigOf(`unqualified-search-registries = ["${a}", "${b}"]\n${insecure(a, b)}`, {
      lookup: everyNameIs('127.0.0.1'),
    });
    try {
      // it asks for a password, and takes any
      guard(first, 'Basic realm="r"', (authorization) => authorization !== '');
      guard(second, 'Basic realm="r"', (authorization) => authorization === basic);
      second.push('app', 'latest', imageOf([await layerOf([{ name: 'x', content: 'x' }])]));
      const directory = place();
      writeFileSync(join(directory, namespacedFile('team', parseReference(`${b}/app`))), auth(b));
      const taken = await take(directory, 'team', `${a}/app`, `${b}/app`);
      expect((await made.resolve('app', taken)).reference.host).toBe(b);
      expect(first.seen.length).toBeGreaterThan(0);
      expect(first.authorizations).toEqual([]);
      expect(new Set(second.authorizations)).toEqual(new Set([basic]));
    } finally {
      made.client.close();
      await first.close();
      await second.close();
    }
  });

  it('S79 of Docker Hub are for each of its names', async () => {
    const directory = place();
    writeFileSync(
      join(directory, namespacedFile('team', parseReference('busybox'))),
      auth('https://index.docker.io/v1/'),
    );
    const taken = await take(directory, 'team', 'busybox');
    const owned = ownedCredentials(taken, 'other.example');
    expect(owned !== undefined && belongTo(owned, { host: 'registry-1.docker.io', insecure: false })).toBe(
      true,
    );
  });

  it.each(['../team', 'team/..', 'Team', '', '-a', 'a'.repeat(64)])(
    'S66 the namespace %j opens no file',
    async (namespace) => {
      const directory = place();
      const file = join(directory, namespacedFile(namespace, parseReference('r.example/a')));
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, auth('r.example'));
      expect(await take(directory, namespace, 'r.example/a')).toBeUndefined();
      expect(existsSync(file)).toBe(true);
    },
  );

  it('an unreadable file is reported by name, without its content', async () => {
    const directory = place();
    const file = join(directory, namespacedFile('team', parseReference('r.example/a')));
    writeFileSync(file, '{"auths": "secret"');
    const fault = await faultOf(take(directory, 'team', 'r.example/a'));
    expect(fault.kind).toBe('invalidRequest');
    expect(fault.message).toContain(file);
    expect(fault.message).not.toContain('secret');
    symlinkSync('/etc/passwd', file);
    await expect(take(directory, 'team', 'r.example/a')).rejects.toThrow(/not a regular file/u);
  });

  it.each([
    ['a directory', (file: string) => mkdirSync(file)],
    ['a FIFO', (file: string) => void execFileSync('mkfifo', [file])],
    ['a large file', (file: string) => writeFileSync(file, 'x'.repeat(distributionLimits.confBytes + 1))],
  ])('F95 %s in its place is refused and stays', async (_what, plant) => {
    const directory = place();
    const file = join(directory, namespacedFile('team', parseReference('r.example/a')));
    plant(file);
    expect(await faultOf(take(directory, 'team', 'r.example/a'))).toMatchObject({
      kind: 'invalidRequest',
      subject: file,
    });
    expect(existsSync(file)).toBe(true);
  });

  it('are empty without a configured directory', async () => {
    expect(await take('', 'team', 'r.example/a')).toBeUndefined();
    expect(await take(join(root, 'none'), 'team', 'r.example/a')).toBeUndefined();
  });
});
