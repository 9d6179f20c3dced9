/** Which signature is one for which image, and which part of a policy speaks of it. */
import { describe, expect, it } from 'vitest';
import { parseDocument } from '../../../../../src/oci/documents/fields.ts';
import { parseReference } from '../../../../../src/oci/images/model/reference.ts';
import { identityMatches, parseSignedIdentity } from '../../../../../src/oci/images/signature/identity.ts';
import { parsePolicy } from '../../../../../src/oci/images/signature/policy.ts';
import { requirementsFor, scopesOf } from '../../../../../src/oci/images/signature/scopes.ts';

const D1 = `sha256:${'1'.repeat(64)}`;
const D2 = `sha256:${'2'.repeat(64)}`;

const rule = (signedIdentity: object) =>
  parseSignedIdentity(parseDocument(Buffer.from(JSON.stringify({ signedIdentity })), 'test'));
const matches = (signedIdentity: object, asked: string, signed: string): boolean =>
  identityMatches(rule(signedIdentity), parseReference(asked), signed);

describe('signedIdentity', () => {
  it.each([
    // asked, signed, matchExact, matchRepoDigestOrExact, matchRepository
    ['r.example/a:1', 'r.example/a:1', true, true, true],
    ['r.example/a:1', 'r.example/a:2', false, false, true],
    ['r.example/a:1', 'r.example/b:1', false, false, false],
    ['r.example/a:1', 'r.example/a', false, false, true],
    ['r.example/a', 'r.example/a:latest', true, true, true],
    ['busybox', 'docker.io/library/busybox:latest', true, true, true],
    [`r.example/a@${D1}`, 'r.example/a:2', false, true, true],
    [`r.example/a@${D1}`, `r.example/a@${D1}`, true, true, true],
    [`r.example/a@${D1}`, `r.example/a@${D2}`, false, true, true],
    [`r.example/a@${D1}`, 'r.example/a', false, false, true],
    [`r.example/a@${D1}`, 'r.example/b:1', false, false, false],
    ['r.example/a:1', '', false, false, false],
    // a name that only its defaults make too long
    ['r.example/a:1', `${'x'.repeat(250)}:1`, false, false, false],
    ['r.example/a:1', 'R.example/A:1', false, false, false],
    ['r.example/a:1', 'r.example/../a:1', false, false, false],
  ])('%s, signed for %s', (asked, signed, exact, repoDigestOrExact, repository) => {
    expect(
      ['matchExact', 'matchRepoDigestOrExact', 'matchRepository'].map((type) =>
        matches({ type }, asked, signed),
      ),
    ).toEqual([exact, repoDigestOrExact, repository]);
  });

  it('exactReference and exactRepository use the signature alone', () => {
    const reference = { type: 'exactReference', dockerReference: 'v.example/a:1' };
    expect(
      ['v.example/a:1', 'v.example/a:2', 'v.example/a', 'r.example/a:1'].map((signed) =>
        matches(reference, 'r.example/a:1', signed),
      ),
    ).toEqual([true, false, false, false]);
    const repository = { type: 'exactRepository', dockerRepository: 'v.example/a' };
    expect(
      ['v.example/a:1', 'v.example/a:2', `v.example/a@${D1}`, 'v.example/b:1'].map((signed) =>
        matches(repository, 'r.example/a:1', signed),
      ),
    ).toEqual([true, true, true, false]);
  });

  it('remapIdentity replaces whole parts of the name, and leaves other names as they are', () => {
    const mirror = { type: 'remapIdentity', prefix: 'mirror.example/vendor', signedPrefix: 'vendor.example' };
    expect(matches(mirror, 'mirror.example/vendor/a:1', 'vendor.example/a:1')).toBe(true);
    expect(matches(mirror, 'mirror.example/vendor/a:1', 'mirror.example/vendor/a:1')).toBe(false);
    expect(matches(mirror, `mirror.example/vendor/a@${D1}`, 'vendor.example/a:7')).toBe(true);
    expect(matches(mirror, 'mirror.example/vendors/a:1', 'vendor.examples/a:1')).toBe(false);
    expect(matches(mirror, 'mirror.example/vendors/a:1', 'mirror.example/vendors/a:1')).toBe(true);
    const whole = { type: 'remapIdentity', prefix: 'mirror.example/a', signedPrefix: 'vendor.example/b' };
    expect([
      matches(whole, 'mirror.example/a:1', 'vendor.example/b:1'),
      matches(whole, 'mirror.example/a:1', 'vendor.example/b:2'),
    ]).toEqual([true, false]);
    const port = { type: 'remapIdentity', prefix: 'mirror.example', signedPrefix: 'vendor.example' };
    expect(matches(port, 'mirror.example:5000/a:1', 'vendor.example:5000/a:1')).toBe(false);
  });
});

describe('scopes', () => {
  it('go from the reference itself to the widest domain, without the port in wildcards', () => {
    expect(scopesOf(parseReference('r.eu.example:5000/team/app:1'))).toEqual([
      'r.eu.example:5000/team/app:1',
      'r.eu.example:5000/team/app',
      'r.eu.example:5000/team',
      'r.eu.example:5000',
      '*.eu.example',
      '*.example',
    ]);
    expect(scopesOf(parseReference(`busybox@${D1}`))).toEqual([
      `docker.io/library/busybox@${D1}`,
      'docker.io/library/busybox',
      'docker.io/library',
      'docker.io',
      '*.io',
    ]);
  });

  it('are matched from the most specific, then the transport, then the default', () => {
    const named = (keyPath: string) => [{ type: 'signedBy', keyType: 'GPGKeys', keyPath }];
    const docker = Object.fromEntries(
      [
        'r.eu.example/team/app:1',
        'r.eu.example/team/app',
        'r.eu.example/team',
        'r.eu.example',
        '*.eu.example',
        '*.example',
        '',
      ].map((scope) => [scope, named(`/${scope}`)]),
    );
    const policy = parsePolicy(
      Buffer.from(JSON.stringify({ default: [{ type: 'reject' }], transports: { docker } })),
      'p',
    );
    const keyOf = (reference: string): unknown => requirementsFor(policy, parseReference(reference))[0];
    for (const [reference, scope] of [
      ['r.eu.example/team/app:1', 'r.eu.example/team/app:1'],
      ['r.eu.example/team/app:2', 'r.eu.example/team/app'],
      ['r.eu.example/team/other:1', 'r.eu.example/team'],
      ['r.eu.example/teams/app:1', 'r.eu.example'],
      ['s.eu.example/a', '*.eu.example'],
      ['deep.er.eu.example/a', '*.eu.example'],
      ['eu.example/a', '*.example'],
      ['example/a', ''],
      ['evil-eu.example/a', '*.example'],
      ['other.test/a', ''],
    ] as const)
      expect(keyOf(reference), reference).toMatchObject({ keys: { paths: [`/${scope}`] } });
    const bare = parsePolicy(Buffer.from(JSON.stringify({ default: [{ type: 'reject' }] })), 'p');
    expect(requirementsFor(bare, parseReference('r.example/a'))).toEqual([{ type: 'reject', reason: '' }]);
  });
});
