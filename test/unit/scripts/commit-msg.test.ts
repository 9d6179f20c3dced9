// The hook that checks the form of commit messages, as git runs it: with the path of a file.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkout } from '../../../scripts/support/checkout.ts';
import { run } from '../../support/run.ts';

describe('the hook for commit messages', () => {
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'troupe-commit-msg-'));
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  it.each([
    ['a subject of 72 characters', `${'é'.repeat(72)}\n\nThe reason.\n`, undefined],
    ['a subject alone', 'Fix the race\n', undefined],
    ['a merge', `Merge ${'x'.repeat(90)}\n`, undefined],
    ['73 characters', `${'x'.repeat(73)}\n`, 'the subject has 73 characters; 1 to 72 are allowed'],
    ['no subject', '\n\nThe reason.\n', 'the subject has 0 characters; 1 to 72 are allowed'],
    ['a full stop', 'Fix the race.\n', 'the subject ends with a full stop'],
    ['no empty line', 'Fix the race\nThe reason.\n', 'the second line must be empty'],
  ])('%s', async (name, message, problem) => {
    const path = join(directory, name.replaceAll(' ', '-'));
    writeFileSync(path, message);
    const { code, stderr } = await run([join(checkout, '.githooks/commit-msg'), path]);
    expect([code, stderr.trim()]).toEqual(problem === undefined ? [0, ''] : [1, `commit-msg: ${problem}`]);
  });
});
