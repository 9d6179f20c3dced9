// What must hold before a release; each check answers why it can't be made, or ''.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { blockOf } from '../figures.ts';
import { gitAgrees, gitIn } from '../git.ts';
import { releases } from '../releases.ts';
import { testedCommit } from '../tested-commit.ts';
import { changelogProblem } from './changelog.ts';
import { compareVersions } from './version-places.ts';

/** Runs of docs/figures.md that a release is judged by. */
const FIGURES = ['bench', 'churn', 'kubelet'];
/** And those that show that no pod is lost on the way to it and back: no release without them. */
const PROOFS = ['handover', 'upgrade'];
/** The parts of a checkout that figures are about. */
const MEASURED = ['src', 'bin', 'package-lock.json'];
/** What the runs of docs/release.md write, which are committed after the suites have passed. */
const WRITTEN_BY_RUNS = ['docs/figures.md', 'docs/skips.json', 'docs/conformance.md'];
/** Files that a message names: of more it gives the number. */
const NAMED_FILES = 5;

export interface Candidate {
  readonly directory: string;
  readonly version: string;
}

export function treeProblem({ directory }: Candidate): string {
  const changed = gitIn(directory, 'status', '--porcelain');
  return changed === '' ? '' : `files differ from the commit:\n${changed}`;
}

export function branchProblem({ directory }: Candidate): string {
  const branch = gitIn(directory, 'rev-parse', '--abbrev-ref', 'HEAD');
  return branch === 'main' ? '' : `the branch is ${branch}, not main`;
}

export function versionProblem({ directory, version }: Candidate): string {
  if (!/^\d+\.\d+\.\d+$/u.test(version)) return `${version} is not a version: X.Y.Z is wanted`;
  const last = releases(directory).at(-1);
  if (last !== undefined && compareVersions(version, last.version) <= 0)
    return `${version} is not higher than the last release, ${last.version}`;
  return gitIn(directory, 'tag', '--list', `v${version}`) === '' ? '' : `the tag v${version} exists`;
}

export function sectionProblem({ directory, version }: Candidate): string {
  return changelogProblem(readFileSync(join(directory, 'CHANGELOG.md'), 'utf8'), version);
}

/** Later versions start on its root and state (F93). */
export function fixtureProblem({ directory, version }: Candidate): string {
  const made = existsSync(join(directory, 'test/fixtures/versions', version, 'manifest.json'));
  return made ? '' : `no fixture of ${version}: sudo npm run fixtures -- --name ${version}, and commit it`;
}

/** Of a log of `npm test`, which names the commit and has the counts in its last line. */
export function logProblem({ directory }: Candidate, path: string): string {
  const log = readFileSync(path, 'utf8').trimEnd();
  const last = log.split('\n').at(-1) ?? '';
  if (!/^[1-9]\d* passed, 0 failed(?:, \d+ skipped)?$/u.test(last))
    return `${path}: the last line is not that of a run that passed: ${last}`;
  const commit = testedCommit(log);
  if (commit === '') return `${path}: not of a commit: no line "tests of commit ..." without changes`;
  if (!isAncestor(directory, commit)) return `${path}: of ${commit}, which is not in this branch`;
  const changed = gitIn(directory, 'diff', '--name-only', commit, 'HEAD')
    .split('\n')
    .filter((name) => name !== '' && !WRITTEN_BY_RUNS.includes(name));
  if (changed.length === 0) return '';
  const more = changed.length > NAMED_FILES ? `, and ${changed.length - NAMED_FILES} more` : '';
  return `${path}: of ${commit}; changed since: ${changed.slice(0, NAMED_FILES).join(', ')}${more}`;
}

/** Figures of an older commit: `name (commit)`. */
export const olderFigures = (candidate: Candidate): readonly string[] => olderOf(candidate, FIGURES);

/** No option does without these. */
export function proofProblem(candidate: Candidate): string {
  const older = olderOf(candidate, PROOFS);
  return older.length === 0 ? '' : `take-overs of an older commit: ${older.join(', ')}; run them again`;
}

function olderOf({ directory }: Candidate, names: readonly string[]): readonly string[] {
  const text = readFileSync(join(directory, 'docs/figures.md'), 'utf8');
  return names.flatMap((name) => {
    // no such commit where "+ changes" stands behind it
    const commit = /^commit ([0-9a-f]{7,40}),/mu.exec(blockOf(text, name))?.[1];
    if (commit !== undefined && isMeasured(directory, commit)) return [];
    return [`${name} (${commit === undefined ? 'of no commit' : `of ${commit}`})`];
  });
}

/** An ancestor at which what figures are about is the same; an unknown commit is another one. */
function isMeasured(directory: string, commit: string): boolean {
  return (
    isAncestor(directory, commit) &&
    gitAgrees(directory, 'diff', '--quiet', commit, 'HEAD', '--', ...MEASURED)
  );
}

/** Whether the commit is the candidate, or before it. */
const isAncestor = (directory: string, commit: string): boolean =>
  gitAgrees(directory, 'merge-base', '--is-ancestor', commit, 'HEAD');
