/** policy.json: what is read, and that nothing is read leniently. */
import { describe, expect, it } from 'vitest';
import { parsePolicy, type Policy } from '../../../../../src/oci/images/signature/policy.ts';
import { decidedBy } from '../../../../../src/oci/images/signature/judge.ts';
import { refusalBy } from '../../../../support/fault-of.ts';

const KEY = Buffer.from('a key').toString('base64');
const accept = [{ type: 'insecureAcceptAnything' }];
const identity = { type: 'matchRepoDigestOrExact' };

const parse = (policy: unknown): Policy =>
  parsePolicy(Buffer.from(typeof policy === 'string' ? policy : JSON.stringify(policy)), '/etc/p.json');
const scope = (requirement: object): Policy =>
  parse({ default: accept, transports: { docker: { 'r.example': [requirement] } } });
const first = (policy: Policy) => policy.scopes.get('r.example')?.[0];

const refusalOf = (policy: unknown): string => refusalBy(() => parse(policy));

describe('policy.json', () => {
  it('keeps default and scopes of the transport docker; others are only validated', () => {
    const policy = parse({
      default: [{ type: 'reject' }],
      transports: {
        docker: { '': accept, 'r.example/team': [{ type: 'reject' }] },
        'docker-archive': { '': accept },
        unheard: { x: accept },
      },
    });
    expect(policy.default).toEqual([{ type: 'reject', reason: '' }]);
    expect([...policy.scopes]).toEqual([
      ['', accept],
      ['r.example/team', [{ type: 'reject', reason: '' }]],
    ]);
  });

  it('reads signedBy with one source of keys, and a default identity', () => {
    expect(first(scope({ type: 'signedBy', keyType: 'GPGKeys', keyPath: '/k' }))).toEqual({
      type: 'signedBy',
      keys: { paths: ['/k'] },
      identity,
    });
    expect(first(scope({ type: 'signedBy', keyType: 'GPGKeys', keyPaths: ['/k', '/l'] }))).toMatchObject({
      keys: { paths: ['/k', '/l'] },
    });
    expect(first(scope({ type: 'signedBy', keyType: 'GPGKeys', keyData: KEY }))).toMatchObject({
      keys: { datas: [new Uint8Array(Buffer.from('a key'))] },
    });
  });

  it('with a key type that nothing verifies is never satisfied, as with the peers', () => {
    const requirement = first(scope({ type: 'signedBy', keyType: 'X509Certificates', keyPath: '/k' }));
    expect(decidedBy(requirement === undefined ? [] : [requirement])).toEqual({
      refusal: 'keyType X509Certificates is not supported',
    });
  });

  it('reads sigstoreSigned by keys, by Fulcio with Rekor, and by an own PKI', () => {
    expect(
      first(scope({ type: 'sigstoreSigned', keyDatas: [KEY, KEY], rekorPublicKeyPath: '/r' })),
    ).toMatchObject({
      keys: { datas: [expect.anything(), expect.anything()] },
      rekorKeys: { paths: ['/r'] },
      identity,
    });
    const fulcio = { caPath: '/ca', oidcIssuer: 'https://issuer.example', subjectEmail: 'a@example' };
    expect(first(scope({ type: 'sigstoreSigned', fulcio, rekorPublicKeyDatas: [KEY] }))).toMatchObject({
      fulcio: { ca: { paths: ['/ca'] }, oidcIssuer: 'https://issuer.example', subjectEmail: 'a@example' },
    });
    const pki = { caRootsData: KEY, caIntermediatesPath: '/i', subjectHostname: 'h.example' };
    expect(first(scope({ type: 'sigstoreSigned', pki }))).toMatchObject({
      pki: { intermediates: { paths: ['/i'] }, subjectEmail: '', subjectHostname: 'h.example' },
      rekorKeys: undefined,
    });
  });

  it.each([
    ['no JSON', '{', /not acceptable JSON/u],
    [
      'a key twice',
      '{"default":[{"type":"reject"}],"default":[{"type":"insecureAcceptAnything"}]}',
      /twice/u,
    ],
    ['no default', { transports: {} }, /default is missing/u],
    ['an empty default', { default: [] }, /default has no requirement/u],
    ['an unknown key', { default: accept, defaults: [] }, /"defaults" is not a known field/u],
    [
      'null for a transport',
      { default: accept, transports: { docker: null } },
      /transports\.docker is null/u,
    ],
    [
      'null for a scope',
      { default: accept, transports: { docker: { 'r.example': null } } },
      /r\.example has no requirement/u,
    ],
    [
      'an empty scope',
      { default: accept, transports: { docker: { 'r.example': [] } } },
      /r\.example has no requirement/u,
    ],
    [
      'a wrong requirement of a transport that is not asked for',
      { default: accept, transports: { atomic: { 'x:': [{ type: 'trustMe' }] } } },
      /transports\.atomic\.x:\[0\]\.type is "trustMe"/u,
    ],
    [
      'a further key of insecureAcceptAnything',
      { default: [{ type: 'insecureAcceptAnything', keyPath: '/k' }] },
      /"keyPath" is not a known field/u,
    ],
  ])('%s refuses the file, by its name', (_what, policy, reason) => {
    expect(refusalOf(policy)).toMatch(/^invalidRequest: signature policy \/etc\/p\.json: /u);
    expect(refusalOf(policy)).toMatch(reason);
  });

  it.each([
    ['signedBy without keyType', { type: 'signedBy', keyPath: '/k' }, /keyType is not one of/u],
    ['signedBy without keys', { type: 'signedBy', keyType: 'GPGKeys' }, /keyPath is missing/u],
    [
      'signedBy with two sources',
      { type: 'signedBy', keyType: 'GPGKeys', keyPath: '/k', keyData: KEY },
      /keyData cannot be combined with keyPath/u,
    ],
    [
      'signedBy with no paths',
      { type: 'signedBy', keyType: 'GPGKeys', keyPaths: [] },
      /keyPaths has 0 entries/u,
    ],
    ['a relative path', { type: 'signedBy', keyType: 'GPGKeys', keyPath: 'k' }, /not an absolute path/u],
    [
      'keys that are not base64',
      { type: 'signedBy', keyType: 'GPGKeys', keyData: 'a key' },
      /keyData is not base64/u,
    ],
    [
      'an unknown identity',
      { type: 'signedBy', keyType: 'GPGKeys', keyPath: '/k', signedIdentity: { type: 'any' } },
      /signedIdentity\.type is "any"/u,
    ],
    [
      'an exact reference without tag',
      {
        type: 'signedBy',
        keyType: 'GPGKeys',
        keyPath: '/k',
        signedIdentity: { type: 'exactReference', dockerReference: 'r.example/a' },
      },
      /dockerReference is not a reference with tag/u,
    ],
    [
      'a remapped prefix with a tag',
      {
        type: 'signedBy',
        keyType: 'GPGKeys',
        keyPath: '/k',
        signedIdentity: { type: 'remapIdentity', prefix: 'r.example/a:1', signedPrefix: 'r.example' },
      },
      /prefix is not a host or repository/u,
    ],
    [
      'a remapped prefix without host',
      {
        type: 'signedBy',
        keyType: 'GPGKeys',
        keyPath: '/k',
        signedIdentity: { type: 'remapIdentity', prefix: 'r.example', signedPrefix: 'vendor' },
      },
      /signedPrefix is not a host/u,
    ],
    ['sigstoreSigned by nobody', { type: 'sigstoreSigned' }, /exactly one is required/u],
    [
      'sigstoreSigned by two',
      { type: 'sigstoreSigned', keyPath: '/k', pki: { caRootsPath: '/r', subjectEmail: 'e' } },
      /exactly one is required/u,
    ],
    [
      'Fulcio without Rekor',
      { type: 'sigstoreSigned', fulcio: { caPath: '/c', oidcIssuer: 'i', subjectEmail: 'e' } },
      /rekorPublicKeyPath is missing/u,
    ],
    [
      'Fulcio for anybody',
      { type: 'sigstoreSigned', fulcio: { caPath: '/c', oidcIssuer: 'i' }, rekorPublicKeyPath: '/r' },
      /subjectEmail is missing/u,
    ],
    [
      'Fulcio by any issuer',
      {
        type: 'sigstoreSigned',
        fulcio: { caPath: '/c', subjectEmail: 'e', oidcIssuer: '' },
        rekorPublicKeyPath: '/r',
      },
      /oidcIssuer is missing/u,
    ],
    [
      'PKI beside Rekor',
      { type: 'sigstoreSigned', pki: { caRootsPath: '/r', subjectEmail: 'e' }, rekorPublicKeyPath: '/r' },
      /cannot be combined with a key of Rekor/u,
    ],
    ['PKI for anybody', { type: 'sigstoreSigned', pki: { caRootsPath: '/r' } }, /subjectEmail is missing/u],
  ])('%s refuses the file', (_what, requirement, reason) => {
    expect(refusalOf({ default: accept, transports: { docker: { 'r.example': [requirement] } } })).toMatch(
      reason,
    );
  });

  it('is decided without signatures where possible, and a rejection wins', () => {
    expect(decidedBy(parse({ default: accept }).default)).toBe('accepted');
    expect(decidedBy(parse({ default: [...accept, { type: 'reject' }] }).default)).toEqual({
      refusal: 'the policy rejects the image',
    });
    expect(
      decidedBy(parse({ default: [...accept, { type: 'sigstoreSigned', keyPath: '/k' }] }).default),
    ).toBe('undecided');
  });
});
