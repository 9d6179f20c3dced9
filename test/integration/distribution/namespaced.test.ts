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
import type { DepositedAuth } from '../../../src/ports/images.ts';
import { scratch } from '../unpack/support.ts';
import { faultOf } from '../../support/fault-of.ts';
import { everyNameIs, insecure, noAuth, rigOf } from '../../support/registry/rig.ts';
import { FakeRegistry } from '../../support/registry/fake-registry.ts';
import { imageOf, layerOf } from '../../support/registry/images.ts';
import { guard } from '../../support/registry/tokens.ts';

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
  /** As for a pull of `text` with this registries.conf. */
  const takeFor = (directory: string, namespace: string, text: string, conf = '') => {
    const { client } = rigOf(conf);
    return takeNamespaced({ directory, node }, client.places(text), namespace, signal).finally(() =>
      client.close(),
    );
  };
  const take = (directory: string, namespace: string, text: string) => takeFor(directory, namespace, text);
  const search = (...hosts: readonly string[]): string =>
    `unqualified-search-registries = ${JSON.stringify(hosts)}\n`;
  const auth = (server: string): string =>
    JSON.stringify({ auths: { [server]: { username: 'u', password: 'p' } } });
  const deposit = (host: string, repository: string): DepositedAuth => ({
    host,
    repository,
    auth: { ...noAuth, username: 'u', password: 'p' },
  });

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
    expect(await take(directory, 'other', 'r.example/a:1')).toEqual([]);
    expect(await take(directory, 'team', 'r.example/b:1')).toEqual([]);
    expect(existsSync(file)).toBe(true);
    expect(await take(directory, 'team', 'r.example/a:2')).toEqual([deposit('r.example', 'a')]);
    expect(await take(directory, 'team', 'r.example/a:1')).toEqual([]);
    expect(readdirSync(directory)).toEqual([]);
  });

  it('only one of many concurrent pulls gets it', async () => {
    const directory = place();
    writeFileSync(join(directory, namespacedFile('team', parseReference('r.example/a'))), auth('r.example'));
    const all = await Promise.all(Array.from({ length: 20 }, () => take(directory, 'team', 'r.example/a')));
    expect(all.filter((one) => one.length > 0).length).toBe(1);
  });

  it('an entry for another registry is not used, and the file is deleted', async () => {
    const directory = place();
    writeFileSync(
      join(directory, namespacedFile('team', parseReference('r.example/a'))),
      auth('other.example'),
    );
    expect(await take(directory, 'team', 'r.example/a')).toEqual([]);
    writeFileSync(join(directory, namespacedFile('team', parseReference('r.example/a'))), '{}');
    expect(await take(directory, 'team', 'r.example/a')).toEqual([]);
    expect(readdirSync(directory)).toEqual([]);
  });

  it('an entry that cannot be used is reported, unless another reference has one', async () => {
    const directory = place();
    const conf = search('a.example', 'b.example');
    const plant = (): void =>
      writeFileSync(
        join(directory, namespacedFile('team', parseReference('a.example/x'))),
        JSON.stringify({ auths: { 'a.example': { auth: '!!secret!!' } } }),
      );
    plant();
    const fault = await faultOf(takeFor(directory, 'team', 'x', conf));
    expect(fault).toMatchObject({ kind: 'invalidRequest' });
    expect(fault.message).toMatch(/auths of a\.example: auth is not base64 of username:password$/u);
    plant();
    writeFileSync(join(directory, namespacedFile('team', parseReference('b.example/x'))), auth('b.example'));
    expect(await takeFor(directory, 'team', 'x', conf)).toEqual([deposit('b.example', 'x')]);
    expect(readdirSync(directory)).toEqual([]);
  });

  it('of a short name are searched for each reference that it may mean', async () => {
    const directory = place();
    writeFileSync(join(directory, namespacedFile('team', parseReference('b.example/x'))), auth('b.example'));
    expect(await takeFor(directory, 'team', 'x', search('a.example', 'b.example'))).toEqual([
      deposit('b.example', 'x'),
    ]);
  });

  it('S79 of a short name go to the registry of their own reference, and to no other search registry', async () => {
    const [first, second] = [await FakeRegistry.start(), await FakeRegistry.start()];
    const basic = `Basic ${Buffer.from('u:p').toString('base64')}`;
    const [a, b] = [`a.example:${first.port}`, `b.example:${second.port}`];
    const conf = `${search(a, b)}${insecure(a, b)}`;
    const made = rigOf(conf, { lookup: everyNameIs('127.0.0.1') });
    try {
      // it asks for a password, and takes any
      guard(first, 'Basic realm="r"', (authorization) => authorization !== '');
      guard(second, 'Basic realm="r"', (authorization) => authorization === basic);
      second.push('app', 'latest', imageOf([await layerOf([{ name: 'x', content: 'x' }])]));
      const directory = place();
      writeFileSync(join(directory, namespacedFile('team', parseReference(`${b}/app`))), auth(b));
      const deposited = await takeFor(directory, 'team', 'app', conf);
      expect((await made.resolve('app', { deposited })).reference.host).toBe(b);
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
    expect(await take(directory, 'team', 'busybox')).toEqual([
      deposit('registry-1.docker.io', 'library/busybox'),
    ]);
  });

  it('of a short name lie under docker.io, as the kubelet knows it, whatever registries.conf means by it', async () => {
    const named = (): string => {
      const directory = place();
      const file = join(directory, namespacedFile('team', parseReference('docker.io/library/app')));
      writeFileSync(file, auth('r.example'));
      return directory;
    };
    const alias = '[aliases]\napp = "r.example/team/app"\n';
    for (const conf of [alias, search('s.example', 'r.example')]) {
      const taken = await takeFor(named(), 'team', 'app:1', conf);
      expect(taken.map(({ host }) => host)).toEqual(['r.example']);
    }
  });

  it('are for mirrors, too, each with its own entry, also for one that serves only digests', async () => {
    const directory = place();
    const entry = (username: string): { auth: string } => ({
      auth: Buffer.from(`${username}:p`).toString('base64'),
    });
    writeFileSync(
      join(directory, namespacedFile('team', parseReference('r.example/a'))),
      JSON.stringify({ auths: { 'm.example/cache': entry('m'), 'd.example': entry('d'), x: entry('x') } }),
    );
    const conf = [
      '[[registry]]\nlocation = "r.example"',
      '[[registry.mirror]]\nlocation = "m.example/cache"',
      '[[registry.mirror]]\nlocation = "d.example"\npull-from-mirror = "digest-only"\n',
    ].join('\n');
    const taken = await takeFor(directory, 'team', 'r.example/a:1', conf);
    expect(taken).toEqual([
      { host: 'm.example', repository: 'cache/a', auth: { ...noAuth, ...entry('m') } },
      { host: 'd.example', repository: 'a', auth: { ...noAuth, ...entry('d') } },
    ]);
  });

  it('S79 a mirror gets its own entry, the registry the request’s credentials, and neither the other’s', async () => {
    const [origin, mirror] = [await FakeRegistry.start(), await FakeRegistry.start()];
    const basic = (user: string): string => `Basic ${Buffer.from(`${user}:p`).toString('base64')}`;
    const conf =
      `[[registry]]\nlocation = "${origin.host}"\ninsecure = true\n` +
      `[[registry.mirror]]\nlocation = "${mirror.host}/cache"\ninsecure = true\n`;
    const made = rigOf(conf);
    try {
      guard(origin, 'Basic realm="r"', (authorization) => authorization === basic('brought'));
      guard(mirror, 'Basic realm="r"', (authorization) => authorization === basic('u'));
      const image = imageOf([await layerOf([{ name: 'x', content: 'x' }])]);
      origin.push('app', 'latest', image);
      const directory = place();
      const name = `${origin.host}/app`;
      const left = (): void =>
        writeFileSync(
          join(directory, namespacedFile('team', parseReference(name))),
          auth(`${mirror.host}/cache`),
        );
      left();
      const brought = { username: 'brought', password: 'p' };
      // the mirror lacks the image
      await made.resolve(name, { ...brought, deposited: await takeFor(directory, 'team', name, conf) });
      expect(new Set(mirror.authorizations)).toEqual(new Set([basic('u')]));
      expect(new Set(origin.authorizations)).toEqual(new Set([basic('brought')]));
      mirror.push('cache/app', 'latest', image);
      origin.seen.length = 0;
      left();
      await made.resolve(name, { deposited: await takeFor(directory, 'team', name, conf) });
      expect(origin.seen).toEqual([]);
    } finally {
      made.client.close();
      await origin.close();
      await mirror.close();
    }
  });

  it('a helper that fails for one endpoint leaves the entries of the others', async () => {
    const directory = place();
    const helped = new NodeCredentials({
      files: () => [],
      findHelper: async (program) => `/${program}`,
      runTool: async () => ({
        exitCode: 3,
        signal: null,
        pid: 1,
        durationMs: 0,
        stdout: Buffer.alloc(0),
        stderr: Buffer.from('broken'),
        timedOut: false,
        truncated: false,
      }),
      clock: realClock(),
    });
    const conf = '[[registry]]\nlocation = "r.example"\n[[registry.mirror]]\nlocation = "m.example"\n';
    const { client } = rigOf(conf);
    const takeWith = (entries: object) => {
      writeFileSync(
        join(directory, namespacedFile('team', parseReference('r.example/a'))),
        JSON.stringify(entries),
      );
      return takeNamespaced({ directory, node: helped }, client.places('r.example/a'), 'team', signal);
    };
    const credHelpers = { 'm.example': 'bad' };
    expect(await takeWith({ auths: { 'r.example': { username: 'u', password: 'p' } }, credHelpers })).toEqual(
      [deposit('r.example', 'a')],
    );
    expect(await faultOf(takeWith({ credHelpers }))).toMatchObject({ kind: 'outside' });
    client.close();
  });

  it.each(['../team', 'team/..', 'Team', '', '-a', 'a'.repeat(64)])(
    'S66 the namespace %j opens no file',
    async (namespace) => {
      const directory = place();
      const file = join(directory, namespacedFile(namespace, parseReference('r.example/a')));
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, auth('r.example'));
      expect(await take(directory, namespace, 'r.example/a')).toEqual([]);
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
    expect(await take('', 'team', 'r.example/a')).toEqual([]);
    expect(await take(join(root, 'none'), 'team', 'r.example/a')).toEqual([]);
  });
});
