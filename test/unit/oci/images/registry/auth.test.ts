import { describe, expect, it } from 'vitest';
import type { RegistryAuth } from '../../../../../src/ports/images.ts';
import {
  belongTo,
  ownedCredentials,
  parseTokenReply,
  secretsOf,
} from '../../../../../src/oci/images/registry/auth.ts';
import { parseChallenges } from '../../../../../src/oci/images/registry/challenge.ts';
import { addressIsPrivateToHost, isLoopback } from '../../../../../src/oci/images/registry/host-policy.ts';
import { retryAfterMs, waitMs } from '../../../../../src/oci/images/registry/retry.ts';
import { refusalBy } from '../../../../support/fault-of.ts';

const none: RegistryAuth = {
  username: '',
  password: '',
  auth: '',
  identityToken: '',
  registryToken: '',
  serverAddress: '',
};
const owned = (auth: Partial<RegistryAuth>, host = 'r.example') =>
  ownedCredentials({ ...none, ...auth }, host);

describe('RPC PullImage: credentials of AuthConfig', () => {
  it('an empty one means anonymous', () => {
    expect(owned({})).toBeUndefined();
    expect(owned({ serverAddress: 'r.example' })).toBeUndefined();
    expect(ownedCredentials(undefined, 'r.example')).toBeUndefined();
  });

  it('name and password come before identity token, auth and registry token, in this order', () => {
    const all = {
      username: 'u',
      password: 'p',
      auth: Buffer.from('a:b').toString('base64'),
      identityToken: 'i',
      registryToken: 'r',
    };
    expect(owned(all)?.credentials).toEqual({ kind: 'basic', username: 'u', password: 'p' });
    expect(owned({ ...all, username: '', password: '' })?.credentials).toEqual({
      kind: 'identity',
      token: 'i',
    });
    expect(owned({ ...all, username: '', password: '', identityToken: '' })?.credentials).toEqual({
      kind: 'basic',
      username: 'a',
      password: 'b',
    });
    expect(owned({ registryToken: 'r' })?.credentials).toEqual({ kind: 'bearer', token: 'r' });
  });

  it('an identity token beside a name without a password is used, as in Docker’s files', () => {
    const name = '00000000-0000-0000-0000-000000000000';
    const token = { kind: 'identity', token: 'i' };
    expect(
      owned({ auth: Buffer.from(`${name}:`).toString('base64'), identityToken: 'i' })?.credentials,
    ).toEqual(token);
    expect(owned({ username: name, identityToken: 'i' })?.credentials).toEqual(token);
    expect(owned({ username: name })?.credentials).toEqual({ kind: 'basic', username: name, password: '' });
  });

  it('auth keeps colons of the password; <token> marks an identity token', () => {
    expect(owned({ auth: Buffer.from('u:p:q').toString('base64') })?.credentials).toMatchObject({
      username: 'u',
      password: 'p:q',
    });
    expect(owned({ auth: Buffer.from('<token>:id').toString('base64') })?.credentials).toEqual({
      kind: 'identity',
      token: 'id',
    });
  });

  it('a password may be a key file with its lines, as Google’s registries take it', () => {
    const password =
      '{\n  "type": "service_account",\n  "private_key": "-----BEGIN PRIVATE KEY-----\\nMII"\n}\n';
    const basic = { kind: 'basic', username: '_json_key', password };
    expect(owned({ username: '_json_key', password })?.credentials).toEqual(basic);
    expect(owned({ auth: Buffer.from(`_json_key:${password}`).toString('base64') })?.credentials).toEqual(
      basic,
    );
  });

  it.each<[string, Partial<RegistryAuth>]>([
    ['auth that is not base64', { auth: '!!secret!!' }],
    ['auth without a colon', { auth: Buffer.from('secret').toString('base64') }],
    ['a newline in the name', { username: 'u\r\nX: secret', password: 'secret' }],
    ['a NUL in the password', { username: 'u', password: 'secret\0' }],
    ['a colon in the name', { username: 'u:secret', password: 'x' }],
    ['a space in a token', { registryToken: 'secret secret' }],
    ['a newline in a token', { identityToken: 'secret\n' }],
    ['an invalid server address', { username: 'u', password: 'p', serverAddress: 'http://secret@r/' }],
  ])('S79 %s is refused without being shown', (_name, auth) => {
    const message = refusalBy(() => owned(auth));
    expect(message).toContain('pull image: auth.');
    expect(message).not.toContain('secret');
  });

  it('S79 they belong to one host', () => {
    const at = (host: string): { readonly host: string; readonly insecure: boolean } => ({
      host,
      insecure: false,
    });
    const basic = { username: 'u', password: 'p' };
    const forReference = owned(basic, 'r.example:5000');
    expect(forReference).toBeDefined();
    if (forReference === undefined) return;
    expect(belongTo(forReference, at('r.example:5000'))).toBe(true);
    for (const host of [
      'r.example',
      'r.example:5001',
      'evil-r.example:5000',
      'r.example.evil:5000',
      'm.example',
    ]) {
      expect(belongTo(forReference, at(host)), host).toBe(false);
    }
    for (const serverAddress of ['https://index.docker.io/v1/', 'docker.io', 'registry-1.docker.io']) {
      const hub = owned({ ...basic, serverAddress }, 'docker.io');
      expect(hub !== undefined && belongTo(hub, at('registry-1.docker.io')), serverAddress).toBe(true);
    }
    for (const [serverAddress, endpoint] of [
      ['https://r.example:443', 'r.example'],
      ['r.example', 'r.example:443'],
    ] as const) {
      const same = owned({ ...basic, serverAddress }, 'r.example');
      expect(same !== undefined && belongTo(same, at(endpoint)), serverAddress).toBe(true);
      // an endpoint that may speak plain http: the owner named TLS's port
      expect(same !== undefined && belongTo(same, { host: endpoint, insecure: true }), serverAddress).toBe(
        false,
      );
    }
    const elsewhere = owned({ ...basic, serverAddress: 'other.example' }, 'r.example');
    expect(elsewhere !== undefined && belongTo(elsewhere, at('r.example'))).toBe(false);
  });

  it('S79 secrets are recognised in every form that is sent', () => {
    expect(secretsOf({ kind: 'basic', username: 'u', password: 'p w' })).toEqual([
      'p w',
      Buffer.from('u:p w').toString('base64'),
      'p%20w',
    ]);
  });
});

describe('S15 token replies', () => {
  it.each<[string, string | undefined]>([
    ['{"token":"a.b.c"}', 'a.b.c'],
    ['{"access_token":"x"}', 'x'],
    ['{"token":"","access_token":"x"}', 'x'],
    ['{"token":"not a jwt but opaque"}', undefined],
    ['{"token":"%%%not.a.jwt%%%"}', '%%%not.a.jwt%%%'],
    ['{"token":"a\\r\\nX: y"}', undefined],
    ['{"token":1}', undefined],
    ['{"token":"a","token":"b"}', undefined],
    ['[]', undefined],
    ['null', undefined],
    ['', undefined],
    ['{"__proto__":{"token":"x"}}', undefined],
  ])('%s', (text, wanted) => {
    expect(parseTokenReply(Buffer.from(text))).toBe(wanted);
  });
});

describe('challenges', () => {
  const parse = (...headers: string[]) =>
    parseChallenges(headers).map(({ scheme, params }) => ({ scheme, ...Object.fromEntries(params) }));

  it.each<[readonly string[], unknown]>([
    [
      ['Bearer realm="https://a/t",service="s",scope="repository:x:pull,push"'],
      [{ scheme: 'bearer', realm: 'https://a/t', service: 's', scope: 'repository:x:pull,push' }],
    ],
    [['Basic realm="x"'], [{ scheme: 'basic', realm: 'x' }]],
    [['BASIC Realm=x'], [{ scheme: 'basic', realm: 'x' }]],
    [
      ['Basic realm="x", Bearer realm="y"'],
      [
        { scheme: 'basic', realm: 'x' },
        { scheme: 'bearer', realm: 'y' },
      ],
    ],
    [
      ['Basic realm="x"', 'Bearer realm="y"'],
      [
        { scheme: 'basic', realm: 'x' },
        { scheme: 'bearer', realm: 'y' },
      ],
    ],
    [['Bearer realm = "a\\"b" , realm="c"'], [{ scheme: 'bearer', realm: 'a"b' }]],
    [['Negotiate, Basic realm="x"'], [{ scheme: 'negotiate' }, { scheme: 'basic', realm: 'x' }]],
    [['Bearer realm="unclosed'], [{ scheme: 'bearer' }]],
    [[''], []],
    [['="x"'], []],
    [['realm="x"'], []],
  ])('%j', (headers, wanted) => {
    expect(parse(...headers)).toEqual(wanted);
  });

  it('a header above the cap is not read', () => {
    expect(parse(`Bearer realm="${'x'.repeat(20_000)}"`)).toEqual([]);
  });
});

describe('F63 how long to wait', () => {
  const now = BigInt(Date.parse('2026-01-01T00:00:00Z')) * 1_000_000n;
  it.each<[string | undefined, number | undefined]>([
    ['0', 0],
    ['7', 7000],
    ['60', 60_000],
    ['99999999999999999999', 60_000],
    ['Thu, 01 Jan 2026 00:00:05 GMT', 5000],
    ['Thu, 01 Jan 2099 00:00:00 GMT', 60_000],
    ['Thu, 01 Jan 1970 00:00:00 GMT', 0],
    ['-5', undefined],
    ['1.5', undefined],
    ['soon', undefined],
    ['Mon nonsense', undefined],
    [undefined, undefined],
  ])('Retry-After %s is %s ms', (header, wanted) => {
    expect(retryAfterMs(header, now)).toBe(wanted);
  });

  it('doubles, half of it random, and stays below the cap', () => {
    const random = (hex: string) => ({ id: () => '', token: () => hex });
    expect(waitMs(1, undefined, random('00000000'))).toBe(100);
    expect(waitMs(3, undefined, random('00000000'))).toBe(400);
    expect(waitMs(3, undefined, random('ffffffff'))).toBe(800);
    expect(waitMs(99, undefined, random('ffffffff'))).toBe(60_000);
    expect(waitMs(1, 10_000, random('ffffffff'))).toBe(11_000);
    expect(waitMs(1, 60_000, random('ffffffff'))).toBe(60_000);
  });
});

describe('S80 addresses of the machine itself', () => {
  it.each([
    '127.0.0.1',
    '127.9.9.9',
    '0.0.0.0',
    '169.254.169.254',
    '::1',
    '::',
    'fe80::1',
    '::ffff:127.0.0.1',
    '::ffff:a9fe:a9fe',
    'fd00:ec2::254',
    'localhost',
    'a.localhost',
    'LOCALHOST.',
    '224.0.0.1',
    '100.100.100.200',
  ])('%s is an address of the machine', (name) => {
    expect(addressIsPrivateToHost(name)).toBe(true);
  });

  it.each(['10.0.0.1', '192.168.1.1', '8.8.8.8', '2001:db8::1', 'r.example', 'localhost.example'])(
    '%s is not an address of the machine',
    (name) => {
      expect(addressIsPrivateToHost(name)).toBe(false);
    },
  );

  it('loopback is distinguished from the link', () => {
    expect([isLoopback('127.0.0.1'), isLoopback('::1'), isLoopback('localhost')]).toEqual([true, true, true]);
    expect([isLoopback('169.254.169.254'), isLoopback('10.0.0.1')]).toEqual([false, false]);
  });
});
