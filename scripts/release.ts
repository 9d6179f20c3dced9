// `npm run release -- X.Y.Z [--dry-run]`: checks, sets the version, makes the packages, signs their sums, writes notes,
// commits and tags; then adds version and commit to docs/releases.tsv, in a commit of its own, since a commit can't
// name itself. Nothing is pushed. Options:
//   --checks-passed FILE  the log of a run of `npm test` that passed on this commit, in place of a run now
//   --older-figures       figures of an older commit do, but of take-overs and upgrades; the notes name them
//   --gpg-key ID | --ssh-key FILE  signs SHA256SUMS
//   --package PROGRAM     makes the files, in place of `npm run package`; gets `--out DIRECTORY`
//   --dry-run             checks only, and says what would be done
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { checkout } from './support/checkout.ts';
import { gitIn } from './support/git.ts';
import { RELEASES } from './support/releases.ts';
import { sectionOf, withSection } from './support/release/changelog.ts';
import {
  branchProblem,
  type Candidate,
  fixtureProblem,
  logProblem,
  olderFigures,
  proofProblem,
  sectionProblem,
  treeProblem,
  versionProblem,
} from './support/release/checks.ts';
import { notesText } from './support/release/notes.ts';
import { versionPlaces, withVersion } from './support/release/version-places.ts';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    'checks-passed': { type: 'string' },
    'older-figures': { type: 'boolean', default: false },
    'gpg-key': { type: 'string' },
    'ssh-key': { type: 'string' },
    package: { type: 'string' },
    'dry-run': { type: 'boolean', default: false },
  },
});

const candidate: Candidate = { directory: checkout, version: positionals[0] ?? '' };
const { version } = candidate;
const day = new Date().toISOString().slice(0, 10);
const out = join(checkout, 'dist/release', version);

try {
  release();
} catch (error) {
  console.error(`release: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}

function release(): void {
  const stale = check();
  if (options['dry-run']) {
    console.log(
      `would release ${version}: version, CHANGELOG.md, packages in ${out}, a commit with the tag v${version}, ${RELEASES}`,
    );
    return;
  }
  setVersion();
  gitIn(checkout, 'add', '--all');
  commit(`Release ${version}`, 'The version, and its section of the changelog.');
  const released = gitIn(checkout, 'rev-parse', 'HEAD');
  try {
    makePackages();
    writeNotes(released, sign(), stale);
  } catch (error) {
    // without its packages it is no release
    gitIn(checkout, 'reset', '--quiet', '--hard', 'HEAD~1');
    throw error;
  }
  gitIn(checkout, 'tag', '--annotate', '--message', `troupe ${version}`, `v${version}`);
  const tsv = join(checkout, RELEASES);
  writeFileSync(tsv, `${readFileSync(tsv, 'utf8')}${version}\t${released}\t${day}\n`);
  gitIn(checkout, 'add', RELEASES);
  commit(`The commit of ${version}`, 'A commit can not name itself, and a clone may lack the tag.');
  console.log(`released ${version} as ${released}; push main and v${version}, and upload ${out}`);
}

/** Throws with all that is in the way. Answers the figures that are of an older commit. */
function check(): readonly string[] {
  const invalid = versionProblem(candidate);
  if (invalid !== '') throw new Error(invalid);
  const stale = olderFigures(candidate);
  const log = options['checks-passed'];
  const problems = [
    treeProblem(candidate),
    branchProblem(candidate),
    sectionProblem(candidate),
    fixtureProblem(candidate),
    proofProblem(candidate),
    ...(log === undefined ? [] : [logProblem(candidate, log)]),
    stale.length === 0 || options['older-figures']
      ? ''
      : `figures of an older commit: ${stale.join(', ')}; run them again, or give --older-figures`,
  ].filter((problem) => problem !== '');
  if (problems.length > 0) throw new Error(problems.join('\n'));
  if (log === undefined && !options['dry-run']) runAll('npm', ['test']);
  return stale;
}

/** A program whose output is shown. Throws unless it ends with 0. */
function runAll(program: string, args: readonly string[]): void {
  const { status, error } = spawnSync(program, args, {
    cwd: checkout,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  if (status !== 0)
    throw new Error(`${[program, ...args].join(' ')}: ${error?.message ?? `ended with ${status}`}`);
}

function setVersion(): void {
  for (const place of versionPlaces) {
    const path = join(checkout, place.file);
    writeFileSync(path, withVersion(place, readFileSync(path, 'utf8'), version));
  }
  const path = join(checkout, 'CHANGELOG.md');
  writeFileSync(path, withSection(readFileSync(path, 'utf8'), version, day));
}

function commit(subject: string, reason: string): void {
  gitIn(checkout, 'commit', '--quiet', '--message', subject, '--message', reason);
}

function makePackages(): void {
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  const own = options.package;
  if (own === undefined) runAll('npm', ['run', 'package', '--', '--out', out]);
  else runAll(own, ['--out', out]);
}

/** The signature's name; '' without a key. */
function sign(): string {
  const sums = join(out, 'SHA256SUMS');
  const { 'gpg-key': gpg, 'ssh-key': ssh } = options;
  if (gpg !== undefined) {
    const to = `${sums}.asc`;
    runAll('gpg', ['--batch', '--armor', '--local-user', gpg, '--output', to, '--detach-sign', sums]);
    return 'SHA256SUMS.asc';
  }
  if (ssh === undefined) return '';
  runAll('ssh-keygen', ['-q', '-Y', 'sign', '-n', 'file', '-f', ssh, sums]);
  return 'SHA256SUMS.sig';
}

function writeNotes(released: string, signature: string, stale: readonly string[]): void {
  const section = sectionOf(readFileSync(join(checkout, 'CHANGELOG.md'), 'utf8'), version);
  const sums = readFileSync(join(out, 'SHA256SUMS'), 'utf8');
  const text = notesText({ version, commit: released, section, sums, signature, olderFigures: stale });
  writeFileSync(join(out, 'NOTES.md'), text);
}
