import { describe, expect, test } from 'vitest';
import type { UserChoice } from '../../../../../../src/ports/specs.ts';
import type { FaultKind } from '../../../../../../src/base/fault.ts';
import { specLimits } from '../../../../../../src/oci/runtime/bounds.ts';
import { pauseUser, resolveUser, resolveUserIn } from '../../../../../../src/oci/runtime/bundle/host/user.ts';
import { faultBy } from '../../../../../support/fault-of.ts';

const nobody: UserChoice = {
  runAsUser: undefined,
  runAsUsername: '',
  runAsGroup: undefined,
  supplementalGroups: [],
  supplementalGroupsPolicy: 'merge',
};

const files = {
  passwd: [
    'root:x:0:0:root:/root:/bin/sh',
    '# a comment',
    'alice:x:1000:1001:Alice:/home/alice:/bin/sh',
    'bob:x:1002:1003::relative:/bin/sh',
    '99999999999:x:0:0::/root:/bin/sh',
    '-1:x:0:0::/root:/bin/sh',
    'wrapped:x:4294967296:0::/:/bin/sh',
    'wrapped:x:0:0::/:/bin/sh',
    'bare:x:7:7',
    'evil:x:8:8::/home/e\rroot:/bin/sh',
    'alice:x:0:0::/root:/bin/sh',
  ].join('\n'),
  group: [
    'root:x:0:root,alice',
    'users:x:1001:',
    'wheel:x:2000:alice,bob',
    'audio:x:2001:alice',
    'wrap:x:4294967296:alice',
    'broken',
    'staff:x:50',
  ].join('\n'),
};

const kindOf = (work: () => unknown): FaultKind => faultBy(work).kind;

describe('forms of the image USER (S24)', () => {
  test.each([
    ['', 0, 0, [0], '/root'],
    ['alice', 1000, 1001, [1001, 0, 2000, 2001], '/home/alice'],
    ['alice:wheel', 1000, 2000, [2000, 0, 2001], '/home/alice'],
    ['alice:7', 1000, 7, [7, 0, 2000, 2001], '/home/alice'],
    ['1000', 1000, 1001, [1001, 0, 2000, 2001], '/home/alice'],
    ['1000:1001', 1000, 1001, [1001, 0, 2000, 2001], '/home/alice'],
    ['4242', 4242, 0, [0], '/'],
    ['4242:4243', 4242, 4243, [4243], '/'],
    ['bob', 1002, 1003, [1003, 2000], '/'],
    ['bare', 7, 7, [7], '/'],
    [':wheel', 0, 2000, [2000, 0], '/root'],
    ['2147483647', 2147483647, 0, [0], '/'],
    ['007', 7, 7, [7], '/'],
  ])('%j is uid %d, gid %d', (user, uid, gid, additionalGids, home) => {
    expect(resolveUser(nobody, user, files)).toEqual({ uid, gid, additionalGids, home });
  });

  test.each([
    '4294967296',
    '2147483648',
    '2147483648:0',
    '-1',
    '1e9',
    '0x0',
    '+0',
    ' 0',
    '0 ',
    '1'.repeat(100),
    '99999999999',
    '0abc',
    '1.5',
    'a:b:c',
    'no\nbody',
    'nobody-here',
    'alice:nogroup',
    'alice:-1',
    'alice:4294967296',
    'wrapped',
    'ａlice',
    'x'.repeat(10_000),
  ])('S25, S26: %j is refused and never uid 0', (user) => {
    expect(kindOf(() => resolveUser(nobody, user, files))).toBe('invalidRequest');
  });

  test('S04: a home with control characters is refused', () => {
    expect(kindOf(() => resolveUser(nobody, 'evil', files))).toBe('invalidRequest');
  });
});

describe('the request over the image', () => {
  test('run_as_username comes before run_as_user and USER', () => {
    expect(resolveUser({ ...nobody, runAsUsername: 'bob', runAsUser: 5 }, 'alice', files).uid).toBe(1002);
    expect(resolveUser({ ...nobody, runAsUser: 1000 }, 'bob', files)).toMatchObject({
      uid: 1000,
      gid: 1001,
      home: '/home/alice',
    });
    expect(resolveUser({ ...nobody, runAsUser: 0 }, 'bob', files).uid).toBe(0);
  });

  test('run_as_group replaces the primary group everywhere (CVE-2022-2995)', () => {
    expect(resolveUser({ ...nobody, runAsUser: 1000, runAsGroup: 9 }, '', files)).toEqual({
      uid: 1000,
      gid: 9,
      additionalGids: [9, 0, 2000, 2001],
      home: '/home/alice',
    });
  });

  test('S12: Strict uses the groups of the request only, Merge both', () => {
    const asked = { ...nobody, runAsUser: 1000, supplementalGroups: [3000, 2000, 3000] };
    expect(resolveUser({ ...asked, supplementalGroupsPolicy: 'strict' }, '', files).additionalGids).toEqual([
      1001, 2000, 3000,
    ]);
    expect(resolveUser(asked, '', files).additionalGids).toEqual([1001, 0, 2000, 2001, 3000]);
  });

  test('a group without a user is refused', () => {
    expect(kindOf(() => resolveUser({ ...nobody, runAsGroup: 5 }, 'alice', files))).toBe('invalidRequest');
  });

  test.each([-1, 1.5, 2 ** 31, Number.NaN, 2 ** 53])('number %d is refused in every field', (value) => {
    expect(kindOf(() => resolveUser({ ...nobody, runAsUser: value }, '', files))).toBe('invalidRequest');
    expect(kindOf(() => resolveUser({ ...nobody, runAsUser: 1, runAsGroup: value }, '', files))).toBe(
      'invalidRequest',
    );
    expect(kindOf(() => resolveUser({ ...nobody, supplementalGroups: [value] }, '', files))).toBe(
      'invalidRequest',
    );
  });

  test('more groups than the kernel takes are refused', () => {
    const supplementalGroups = Array.from({ length: specLimits.groups }, (_item, at) => at + 1);
    expect(kindOf(() => resolveUser({ ...nobody, supplementalGroups }, '', files))).toBe('invalidRequest');
  });
});

describe('the image without a user data base', () => {
  const none = { passwd: '', group: '' };
  test('allows numbers, but not names', () => {
    expect(resolveUser(nobody, '5:6', none)).toEqual({ uid: 5, gid: 6, additionalGids: [6], home: '/' });
    expect(kindOf(() => resolveUser(nobody, 'alice', none))).toBe('invalidRequest');
    expect(kindOf(() => resolveUser(nobody, '5:users', none))).toBe('invalidRequest');
  });

  test('S10: both files are read with the cap', async () => {
    const asked: unknown[] = [];
    await resolveUserIn('/root/fs', nobody, '5', (...call) => {
      asked.push(call);
      return Promise.resolve(undefined);
    });
    const options = { bytesMax: specLimits.passwdBytes };
    expect(asked).toEqual([
      ['/root/fs', '/etc/passwd', options],
      ['/root/fs', '/etc/group', options],
    ]);
  });
});

test('S10: more lines than the bound are refused, in the group file too', () => {
  const many = 'a\n'.repeat(specLimits.passwdLines + 1);
  expect(kindOf(() => resolveUser(nobody, '4242', { passwd: many, group: '' }))).toBe('invalidRequest');
  expect(kindOf(() => resolveUser(nobody, 'alice', { ...files, group: many }))).toBe('invalidRequest');
  expect(resolveUser(nobody, '4242', { passwd: many.slice(2), group: '' }).uid).toBe(4242);
});

test('S10: a member of a group is a whole word of its list', () => {
  const member = (name: string, members: string): boolean =>
    resolveUser(nobody, name, {
      passwd: `${name}:x:5:6::/:`,
      group: `g:x:9:${members}`,
    }).additionalGids.includes(9);
  expect(['al', 'al,b', 'b,al', ',,al,', 'ala,al \r'].map((list) => member('al', list))).toEqual([
    true,
    true,
    true,
    true,
    true,
  ]);
  expect(['', 'ala', 'b,bal', 'ala,alal', ','].map((list) => member('al', list))).toEqual([
    false,
    false,
    false,
    false,
    false,
  ]);
});

test('the pause process runs as 65535, or the sandbox’s numbers; a name cannot be resolved', () => {
  expect(pauseUser(nobody)).toMatchObject({ uid: 65_535, gid: 65_535 });
  expect(pauseUser({ ...nobody, runAsUser: 7, runAsGroup: 8, supplementalGroups: [9] })).toMatchObject({
    uid: 7,
    gid: 8,
    additionalGids: [8, 9],
  });
  expect(kindOf(() => pauseUser({ ...nobody, runAsUsername: 'alice' }))).toBe('unsupported');
  expect(kindOf(() => pauseUser({ ...nobody, runAsGroup: 8 }))).toBe('invalidRequest');
});
