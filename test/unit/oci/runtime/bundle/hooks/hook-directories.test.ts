import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { HookDirectories } from '../../../../../../src/oci/runtime/bundle/hooks/hook-directories.ts';

let directory = '';
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'hooks-'));
});
afterEach(() => rm(directory, { recursive: true }));

const hook = (when: object): Promise<void> =>
  writeFile(
    join(directory, 'a.json'),
    JSON.stringify({ version: '1.0.0', hook: { path: '/bin/h' }, when, stages: ['prestart'] }),
  );
const chosen = (annotations: Readonly<Record<string, string>>, command = '/bin/sh') =>
  new HookDirectories(() => [directory]).hooksFor(
    { annotations, command, hasBindMounts: false },
    (_path, _attempted, work) => work(),
  );

// with four of them a match takes years: a test that passes was cut off
const SLOW = '.*x.*x.*x.*x.*x.*y';
const HOSTILE = 'x'.repeat(4000);

test.each<[string, object, Readonly<Record<string, string>>, string?]>([
  ['an annotation', { annotations: { '^a$': SLOW } }, { a: HOSTILE }],
  ["an annotation's key", { annotations: { [SLOW]: '.' } }, { [HOSTILE]: 'a' }],
  ['a command', { commands: [SLOW] }, {}, HOSTILE],
])(
  'an expression that %s keeps busy is aborted, and reported with its file (S63)',
  async (_what, when, annotations, command) => {
    await hook(when);
    const refused = chosen(annotations, command);
    await expect(refused).rejects.toMatchObject({ fault: { kind: 'outside' } });
    await expect(refused).rejects.toThrow(`OCI hook file ${join(directory, 'a.json')}: when.`);
    await expect(refused).rejects.toThrow(
      `${JSON.stringify(SLOW)}: choosing the container's hooks timed out`,
    );
  },
);

test('all annotations of one container share one bound', async () => {
  await hook({ annotations: { '^a': '^(?:.*x.*x.*y)$' } });
  // each of them takes some tens of milliseconds
  await expect(
    chosen(Object.fromEntries(Array.from({ length: 4096 }, (_, at) => [`a${at}`, 'x'.repeat(600)]))),
  ).rejects.toThrow('hooks timed out');
});

test('a key is read up to the same bound as a value', async () => {
  await hook({ annotations: { end$: '' } });
  expect(await chosen({ [`${'x'.repeat(5000)}end`]: '' })).toEqual([]);
  expect(await chosen({ 'the end': '' })).toEqual([{ stage: 'prestart', hook: { path: '/bin/h' } }]);
});
