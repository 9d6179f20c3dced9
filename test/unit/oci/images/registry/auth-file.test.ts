import { describe, expect, it } from 'vitest';
import { findIn, parseAuthFile, parseHelperReply } from '../../../../../src/oci/images/registry/auth-file.ts';
import { distributionLimits } from '../../../../../src/oci/images/bounds.ts';
import { refusalBy } from '../../../../support/fault-of.ts';

const bytes = (content: unknown): Uint8Array =>
  Buffer.from(typeof content === 'string' ? content : JSON.stringify(content));
const parse = (content: unknown) => parseAuthFile(bytes(content), '/etc/a.json');
const auth = (user: string): string => Buffer.from(`${user}:secret`).toString('base64');

/** The user of the entry, or the helper that is to be asked. */
function found(content: unknown, host: string, repository: string): string | undefined {
  const one = findIn(parse(content), host, repository);
  if (one === undefined) return undefined;
  return 'auth' in one
    ? (Buffer.from(one.auth.auth, 'base64').toString().split(':')[0] ?? '')
    : `${one.helper} for ${one.server}`;
}

const refusal = (content: unknown): string => refusalBy(() => parse(content));

describe('a file of credentials', () => {
  const auths = {
    'r.example': { auth: auth('host') },
    'r.example/team': { auth: auth('team') },
    'r.example/team/app': { auth: auth('app') },
    'r.example:5000': { auth: auth('port') },
    'https://index.docker.io/v1/': { auth: auth('hub') },
  };

  it.each([
    ['r.example', 'team/app', 'app'],
    ['r.example', 'team/other', 'team'],
    ['r.example', 'teams/app', 'host'],
    ['r.example', 'app', 'host'],
    ['r.example:5000', 'team/app', 'port'],
    ['registry-1.docker.io', 'library/busybox', 'hub'],
    ['other.example', 'team/app', undefined],
  ])('%s/%s: the entry with the longest matching path is used', (host, repository, user) => {
    expect(found({ auths }, host, repository)).toBe(user);
  });

  it('a helper of the host comes after an entry of a path, and before the host’s entry and the store', () => {
    const file = {
      auths: {
        'r.example/mine': { auth: auth('mine') },
        'r.example': {},
        's.example': { auth: auth('stale') },
        't.example': { auth: auth('host') },
      },
      credHelpers: { 'r.example': 'cloud', 's.example': 'cloud' },
      credsStore: 'rest',
    };
    expect(found(file, 'r.example', 'mine')).toBe('mine');
    expect(found(file, 'r.example', 'a')).toBe('cloud for r.example');
    expect(found(file, 's.example', 'a')).toBe('cloud for s.example');
    expect(found(file, 't.example', 'a')).toBe('host');
    expect(found(file, 'other.example', 'a')).toBe('rest for other.example');
    expect(found(file, 'registry-1.docker.io', 'a')).toBe('rest for https://index.docker.io/v1/');
  });

  it('an empty file, and one with other programs’ keys only, has no credentials', () => {
    for (const content of [
      '{}',
      { auths: null },
      { auths: {}, HttpHeaders: { 'User-Agent': 'x' }, currentContext: 'y' },
    ]) {
      expect(found(content, 'r.example', 'a')).toBeUndefined();
    }
  });

  it('S15 an invalid one is refused by file and entry, without secrets', () => {
    expect(refusal('{')).toMatch(/^invalidRequest: read \/etc\/a\.json: /u);
    expect(refusal('{"auths":{},"auths":{}}')).toMatch(/^invalidRequest: read \/etc\/a\.json: /u);
    expect(refusal([])).toContain('/etc/a.json: the document is not a JSON object');
    const many = Object.fromEntries(
      Array.from({ length: distributionLimits.authEntries + 1 }, (_none, at) => [`r${at}.example`, {}]),
    );
    expect(refusal({ auths: many })).toContain(`more than the ${distributionLimits.authEntries} allowed`);
  });

  it('F95 a bad entry does not affect others, and no secret is shown', () => {
    const problems = (content: unknown): string => parse(content).problems.join();
    expect(problems({ auths: { 'r.example': { auth: 7 } } })).toBe(
      'read /etc/a.json: auths of r.example: auth is not a string',
    );
    expect(problems({ auths: { 'r.example': 'sesame' } })).toMatch(/^(?!.*sesame).*r\.example/u);
    expect(problems({ credsStore: '../../bin/sh' })).toContain(
      'the name of a credential helper is not valid',
    );
    expect(problems({ credHelpers: { 'r.example': '-x' } })).toContain(
      'the name of a credential helper is not valid',
    );
    const mixed = parse({
      auths: { 'bad.example': 7, 'r.example': { username: 'u', password: 'p' } },
      credsStore: '-x',
    });
    expect([...mixed.entries.keys(), mixed.store]).toEqual(['r.example', '']);
  });

  it('F95 an entry whose credentials cannot be used is reported by file and host; a shorter path counts', () => {
    const b64 = (text: string): string => Buffer.from(text).toString('base64');
    const long = 'x'.repeat(distributionLimits.tokenChars + 1);
    const bad: readonly (readonly [object, string])[] = [
      [{ auth: '!!sesame!!' }, 'auth is not base64 of username:password'],
      [{ auth: b64('sesame') }, 'auth is not base64 of username:password'],
      [{ auth: b64('ses\name:x') }, 'auth has a colon or control character in the user name'],
      [{ username: 'a:sesame', password: 'x' }, 'username has a colon or control character'],
      [{ identitytoken: 'ses ame' }, 'identitytoken is not a valid token'],
      [{ registrytoken: 'ses ame' }, 'registrytoken is not a valid token'],
      [{ auth: long }, `auth is longer than ${distributionLimits.tokenChars} characters`],
    ];
    for (const [value, reason] of bad) {
      const content = { auths: { 'r.example': { auth: auth('host') }, 'r.example/team': value } };
      const [problem = '', ...more] = parse(content).problems;
      expect(problem).toContain(`read /etc/a.json: auths of r.example/team: ${reason}`);
      expect(problem).not.toMatch(/ses ?ame|xxxx/u);
      expect(more).toEqual([]);
      expect(found(content, 'r.example', 'team/app')).toBe('host');
    }
    // what is not used does not count
    expect(parse({ auths: { 'r.example': { username: 'u', password: 'p', auth: '!' } } }).problems).toEqual(
      [],
    );
  });

  it('a helper answers with a name and a secret, or with a token', () => {
    expect(parseHelperReply(bytes({ ServerURL: 'r', Username: 'u', Secret: 's' }))).toMatchObject({
      username: 'u',
      password: 's',
      identityToken: '',
    });
    expect(parseHelperReply(bytes({ Username: '<token>', Secret: 't' }))).toMatchObject({
      username: '',
      identityToken: 't',
    });
    for (const none of [
      '',
      '{',
      '[]',
      '{"Username":"u"}',
      '{"Username":"u","Secret":7}',
      '{"Username":"u","Secret":""}',
    ])
      expect(parseHelperReply(bytes(none))).toBeUndefined();
  });

  it('a helper may have no credentials, and a helper without a name is ignored', () => {
    const anonymous = parseHelperReply(bytes({ ServerURL: 'r', Username: '', Secret: '' }));
    expect(anonymous !== undefined && Object.values(anonymous).every((value) => value === '')).toBe(true);
    expect(found({ credHelpers: { 'r.example': '' }, credsStore: 'all' }, 'r.example', 'a')).toBe(
      'all for r.example',
    );
  });
});
