import { describe, expect, test } from 'vitest';
import { parseHookFile } from '../../../../../../src/oci/runtime/bundle/hooks/hook-file.ts';
import type { HookSubject } from '../../../../../../src/oci/runtime/bundle/hooks/hook-file.ts';

const parse = (changes: object) =>
  parseHookFile(
    '/h/a.json',
    Buffer.from(
      JSON.stringify({
        version: '1.0.0',
        hook: { path: '/bin/h' },
        when: { always: true },
        stages: ['prestart'],
        ...changes,
      }),
    ),
  );
const subject: HookSubject = {
  annotations: { 'com.example/gpu': 'yes', other: 'x' },
  command: '/usr/bin/python3',
  hasBindMounts: false,
};
const matches = (when: object, changes: Partial<HookSubject> = {}): boolean =>
  parse({ when }).matches({ ...subject, ...changes });

describe('a hook file', () => {
  test('gives hook and stages unchanged', () => {
    const hook = { path: '/bin/h', args: ['h', '-x'], env: ['A=b'], timeout: 3 };
    expect(parse({ hook, stages: ['createRuntime', 'poststop'] })).toMatchObject({
      hook,
      stages: ['createRuntime', 'poststop'],
    });
  });

  test.each<[boolean, object, Partial<HookSubject>?]>([
    [true, { always: true }],
    [false, { always: false }],
    [false, {}],
    [true, { annotations: { '^com\\.example/': '^yes$' } }],
    [false, { annotations: { '^com\\.example/': '^no$' } }],
    [false, { annotations: { '^com\\.example/': 'yes', '^missing$': '.*' } }],
    [false, { annotations: { '^gpu$': 'yes' } }],
    [true, { commands: ['/sh$', 'python'] }],
    [false, { commands: ['^python'] }],
    [false, { hasBindMounts: true }],
    [true, { hasBindMounts: true }, { hasBindMounts: true }],
    [false, { hasBindMounts: false }, { hasBindMounts: false }],
    [false, { always: true, commands: ['^python'] }],
    [true, { always: true, commands: ['python'], annotations: { other: 'x' } }],
    [false, { commands: ['end$'] }, { command: `${'x'.repeat(5000)}end` }],
  ])('matches: %s for %j', (isMatch, when, changes) => {
    expect(matches(when, changes)).toBe(isMatch);
  });

  test.each<[string, object]>([
    ['version is "0.1.0", not 1.0.0', { version: '0.1.0' }],
    ['version is "", not 1.0.0', { version: undefined }],
    ['hook is missing', { hook: undefined }],
    ['when is missing', { when: undefined }],
    ['hook.path is not absolute', { hook: { path: 'h' } }],
    ['hook.timeout is 0', { hook: { path: '/h', timeout: 0 } }],
    ['hook."command" is not a known field', { hook: { path: '/h', command: 'x' } }],
    ['hook.env has an entry', { hook: { path: '/h', env: ['A'] } }],
    ['stages is empty', { stages: [] }],
    ['stages[0] is not one of', { stages: ['precreate'] }],
    ['when."or" is not a known field', { when: { or: true } }],
    ['when.commands[0] "(" is not a supported regular expression', { when: { commands: ['('] } }],
    ['when.always is neither true nor false', { when: { always: 'true' } }],
  ])('%s', (reason, changes) => {
    expect(() => parse(changes)).toThrow(reason);
    expect(() => parse(changes)).toThrow('OCI hook file /h/a.json');
  });
});
