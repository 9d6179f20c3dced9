/** TLS as registries have it, and as they should not: rows S49 and S81. Needs openssl. */
import { execFileSync } from 'node:child_process';
import tls from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as fake from '../../support/registry/fake-registry.ts';
import { FakeRegistry, type TlsMaterial } from '../../support/registry/fake-registry.ts';
import { selfSigned } from '../../support/registry/certificates.ts';
import { imageOf, layerOf, type TestImage } from '../../support/registry/images.ts';
import { faultOf } from '../../support/fault-of.ts';
import { everyNameIs, insecure, rigOf, trusting, type Rig } from '../../support/registry/rig.ts';
import { guard, tokenService } from '../../support/registry/tokens.ts';
import { unless } from '../../support/skips/unless.ts';

function hasOpenssl(): boolean {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' });
    return true;
  } catch {
    console.warn('skipped: openssl is not installed');
    return false;
  }
}

const auth = { username: 'user', password: 'correct horse' };
const lookup = everyNameIs('127.0.0.1');

unless(describe, hasOpenssl() ? '' : 'needs /usr/bin/openssl')('TLS', () => {
  let good: TlsMaterial;
  let image: TestImage;
  const open: FakeRegistry[] = [];

  beforeAll(async () => {
    good = selfSigned(['DNS:r.example', 'DNS:auth.example']);
    image = imageOf([await layerOf([{ name: 'x', content: 'x' }])]);
  });

  afterAll(async () => {
    await Promise.all(open.map((registry) => registry.close()));
  });

  async function start(tls?: TlsMaterial): Promise<FakeRegistry> {
    const registry = await FakeRegistry.start(tls);
    registry.push('a', 'v', image);
    open.push(registry);
    return registry;
  }

  /** A client that trusts these certificates for every host. */
  const trustingRig = (conf: string, ...trusted: readonly TlsMaterial[]): Rig =>
    rigOf(conf, { lookup, ...trusting(...trusted.map(({ cert }) => cert)) });

  it('S81 an image of a verified registry is pulled', async () => {
    const registry = await start(good);
    const host = `r.example:${registry.port}`;
    const rig = trustingRig('', good);
    expect((await rig.resolve(`${host}/a:v`)).config.os).toBe('linux');
    rig.client.close();
  });

  it('S81 self-signed, wrong host, expired: refused before any request', async () => {
    const expired = selfSigned(['DNS:r.example'], { expired: true });
    const cases: readonly (readonly [TlsMaterial, string, readonly TlsMaterial[], RegExp])[] = [
      [good, 'r.example', [], /self-signed certificate/u],
      [good, 'other.example', [good], /does not match certificate/u],
      [expired, 'r.example', [expired], /certificate has expired/u],
    ];
    for (const [material, name, trusted, words] of cases) {
      const registry = await start(material);
      const rig = trustingRig('', ...trusted);
      const fault = await faultOf(rig.resolve(`${name}:${registry.port}/a:v`, auth));
      expect(fault.message).toMatch(/^RegistryUnavailable: /u);
      expect(fault.message).toMatch(words);
      expect(registry.seen).toEqual([]);
      rig.client.close();
    }
  });

  it('S81 TLS 1.1 is refused, also by an insecure host', async () => {
    const registry = await start({
      ...good,
      extra: { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' },
    });
    // OpenSSL's security level refuses TLS 1.1 as well; lowered here, so that it is our own bound that refuses
    const ciphers = tls.DEFAULT_CIPHERS;
    tls.DEFAULT_CIPHERS = 'DEFAULT@SECLEVEL=0';
    try {
      for (const conf of ['', insecure(`r.example:${registry.port}`)]) {
        const rig = trustingRig(conf, good);
        expect((await faultOf(rig.resolve(`r.example:${registry.port}/a:v`))).message).toMatch(
          /^RegistryUnavailable: /u,
        );
        expect(registry.seen).toEqual([]);
        rig.client.close();
      }
    } finally {
      tls.DEFAULT_CIPHERS = ciphers;
    }
  });

  it('S81 NODE_TLS_REJECT_UNAUTHORIZED has no effect', async () => {
    const registry = await start(good);
    const before = process.env['NODE_TLS_REJECT_UNAUTHORIZED'];
    process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0';
    try {
      const rig = trustingRig('');
      expect((await faultOf(rig.resolve(`r.example:${registry.port}/a:v`))).message).toContain('self-signed');
      expect(registry.seen).toEqual([]);
      rig.client.close();
    } finally {
      if (before === undefined) delete process.env['NODE_TLS_REJECT_UNAUTHORIZED'];
      else process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = before;
    }
  });

  it('S81 insecure is for this host only: it is not verified, the target of a redirect is', async () => {
    const registry = await start(good);
    const elsewhere = await start(good);
    const rig = trustingRig(insecure(`r.example:${registry.port}`));
    expect((await rig.resolve(`r.example:${registry.port}/a:v`)).config.os).toBe('linux');
    registry.on(/manifests/u, fake.redirect(`https://r.example:${elsewhere.port}/v2/a/manifests/v`));
    expect((await faultOf(rig.resolve(`r.example:${registry.port}/a:v`))).message).toContain('self-signed');
    expect(elsewhere.seen).toEqual([]);
    rig.client.close();
  });

  it('S81 plain http is used for insecure hosts only', async () => {
    const registry = await start();
    const strict = trustingRig('');
    expect((await faultOf(strict.resolve(`r.example:${registry.port}/a:v`, auth))).message).toMatch(
      /^RegistryUnavailable: /u,
    );
    expect(registry.seen).toEqual([]);
    const lax = trustingRig(insecure(`r.example:${registry.port}`));
    expect((await lax.resolve(`r.example:${registry.port}/a:v`)).config.os).toBe('linux');
    strict.client.close();
    lax.client.close();
  });

  it('S81 an unverified connection is not reused for a verified request', async () => {
    const registry = await start(good);
    const host = `r.example:${registry.port}`;
    let conf = insecure(host);
    const { parseRegistriesConf } = await import('../../../src/oci/images/registry/registries-conf.ts');
    const rig = rigOf('', { lookup, registries: () => parseRegistriesConf(conf, 'x') });
    expect((await rig.resolve(`${host}/a:v`)).config.os).toBe('linux');
    conf = '';
    expect((await faultOf(rig.resolve(`${host}/a:v`))).message).toContain('self-signed');
    rig.client.close();
  });

  it('S49 an https registry that names a plain http realm sends nothing there', async () => {
    const registry = await start(good);
    const evil = await start();
    tokenService(evil);
    guard(registry, `Bearer realm="${evil.url}/token",service="s"`, () => false);
    // even where the operator calls the realm's host insecure
    for (const conf of ['', insecure(evil.host)]) {
      const rig = trustingRig(conf, good);
      const fault = await faultOf(rig.resolve(`r.example:${registry.port}/a:v`, auth));
      expect(fault).toMatchObject({ kind: 'denied' });
      expect(fault.message).toContain('uses plain http');
      expect(evil.seen).toEqual([]);
      rig.client.close();
    }
  });

  it('F64 a redirect from https to plain http is refused', async () => {
    const registry = await start(good);
    const evil = await start();
    registry.on(/manifests/u, fake.redirect(`${evil.url}/v2/a/manifests/v`));
    const rig = trustingRig(insecure(evil.host), good);
    expect((await faultOf(rig.resolve(`r.example:${registry.port}/a:v`))).message).toContain(
      'from https to plain http',
    );
    expect(evil.seen).toEqual([]);
    rig.client.close();
  });

  it('F62 a verified token service on another host gets the password, and the registry only the token', async () => {
    const local = selfSigned(['IP:127.0.0.1', 'DNS:localhost']);
    const registry = await start(local);
    const service = await start(local);
    tokenService(service);
    guard(
      registry,
      `Bearer realm="https://localhost:${service.port}/token",service="s"`,
      (value) => value === 'Bearer token-1',
    );
    const rig = trustingRig('', local);
    expect((await rig.resolve(`${registry.host}/a:v`, auth)).config.os).toBe('linux');
    expect(service.authorizations).toEqual([`Basic ${Buffer.from('user:correct horse').toString('base64')}`]);
    expect(new Set(registry.authorizations)).toEqual(new Set(['Bearer token-1']));
    rig.client.close();
  });

  it('S80 a token service that resolves to this machine is not asked', async () => {
    const registry = await start(good);
    const service = await start(good);
    tokenService(service);
    guard(registry, `Bearer realm="https://auth.example:${service.port}/token",service="s"`, () => false);
    const rig = trustingRig('', good);
    const fault = await faultOf(rig.resolve(`r.example:${registry.port}/a:v`, auth));
    expect(fault.message).toContain('auth.example: 127.0.0.1 is a loopback, link-local or metadata address');
    expect(service.seen).toEqual([]);
    rig.client.close();
  });
});
