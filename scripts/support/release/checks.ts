// What must hold before a release; each check answers why it can't be made, or ''.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { releases } from '../releases.ts';
import { changelogProblem } from './changelog.ts';
import { compareVersions } from './version-places.ts';

/** Runs of docs/figures.md that a release is judged by. */
const FIGURES = ['bench', 'churn', 'kubelet'];
/** The parts of a checkout that figures are about. */
const MEASURED = ['src', 'bin', 'package-lock.json'];

export interface Candidate {
  readonly directory: string;
  readonly version: string;
}

/** Output of git in the checkout. */
export const gitIn = (directory: string, ...args: readonly string[]): string =>
  execFileSync('git', ['-c', 'safe.directory=*', ...args], { cwd: directory, encoding: 'utf8' }).trim();

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

/** Of a log of `npm test`, whose last line has the counts. */
export function logProblem(path: string): string {
  const last = readFileSync(path, 'utf8').trimEnd().split('\n').at(-1) ?? '';
  return /^[1-9]\d* passed, 0 failed(?:, \d+ skipped)?$/u.test(last)
    ? ''
    : `${path}: the last line is not that of a run that passed: ${last}`;
}

/** Figures of an older commit: `name (commit)`. */
export function olderFigures({ directory }: Candidate): readonly string[] {
  const text = readFileSync(join(directory, 'docs/figures.md'), 'utf8');
  return FIGURES.flatMap((name) => {
    const [block = ''] = (text.split(`<!-- ${name}: begin -->`)[1] ?? '').split('<!-- ');
    const commit = /^commit ([0-9a-f]{7,40}),/mu.exec(block)?.[1];
    if (commit !== undefined && isMeasured(directory, commit)) return [];
    return [`${name} (${commit === undefined ? 'of no commit' : `of ${commit}`})`];
  });
}

/** Whether what figures are about is the same at that commit; an unknown commit is another one. */
function isMeasured(directory: string, commit: string): boolean {
  const { status } = spawnSync(
    'git',
    ['-c', 'safe.directory=*', 'diff', '--quiet', commit, 'HEAD', '--', ...MEASURED],
    { cwd: directory, stdio: 'ignore' },
  );
  return status === 0;
}
