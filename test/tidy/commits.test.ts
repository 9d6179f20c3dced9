// The form of commit messages, as .githooks/commit-msg asks for it: a hook can be left out, this can't. An archive of
// the sources has no history and a shallow clone little of it: what is there is checked.
import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { checkout } from './support/sources.ts';

/**
 * Seconds since the epoch: the commit "Tidy bans words that have a better one in the field". Older ones may be as they
 * are.
 */
const SINCE_S = 1_795_272_099;
/** Characters of a subject: what `git log --oneline` and a review page show in one line. */
const SUBJECT_CHARS = 72;

interface Commit {
  readonly hash: string;
  readonly committedS: number;
  readonly message: string;
}

/** What is wrong with the form of a message; undefined when nothing is. */
function flawOf(message: string): string | undefined {
  const [subject = '', second = ''] = message.split('\n');
  if (/^(?:Merge |fixup! |squash! )/u.test(subject)) return undefined;
  const length = [...subject].length;
  if (length === 0 || length > SUBJECT_CHARS) return `the subject has ${length} characters`;
  if (subject.endsWith('.')) return 'the subject ends with a full stop';
  return second === '' ? undefined : 'the second line is not empty';
}

/** The commits that this clone has, newest first; none without git or a repository. */
function commits(): readonly Commit[] {
  // a clone may belong to somebody else than who runs the tests
  const argv = ['-c', 'safe.directory=*', '-C', checkout, 'log', `--since=${SINCE_S}`];
  const { status, stdout } = spawnSync('git', [...argv, '--format=%h%x00%ct%x00%B%x00'], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
    maxBuffer: Infinity,
  });
  if (status !== 0) return [];
  const fields = stdout.split('\0').map((field) => field.replace(/^\n/u, ''));
  return Array.from({ length: Math.floor(fields.length / 3) }, (_, at) => ({
    hash: fields[3 * at] ?? '',
    committedS: Number(fields[3 * at + 1]),
    message: fields[3 * at + 2] ?? '',
  }));
}

describe('commits', () => {
  it('have a subject of one line and the reason in the body', () => {
    const wrong = commits()
      .filter(({ committedS }) => committedS >= SINCE_S)
      .map(({ hash, message }) => [hash, flawOf(message)] as const)
      .filter(([, flaw]) => flaw !== undefined)
      .map(([hash, flaw]) => `${hash}: ${flaw}`);
    expect(wrong).toEqual([]);
  });

  it.each([
    ['é'.repeat(72), undefined],
    ['Fix the race\n\nThe reason.\n', undefined],
    [`Merge ${'x'.repeat(90)}`, undefined],
    ['x'.repeat(73), 'the subject has 73 characters'],
    ['\n\nThe reason.', 'the subject has 0 characters'],
    ['Fix the race.', 'the subject ends with a full stop'],
    ['Fix the race\nThe reason.', 'the second line is not empty'],
  ])('%j: %s', (message, flaw) => {
    expect(flawOf(message)).toBe(flaw);
  });
});
