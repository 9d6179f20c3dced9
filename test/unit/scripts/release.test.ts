// `npm run release` in a repository of its own, with a log for the tests and a program for the packages.
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseReleases, RELEASES_HEAD } from '../../../scripts/support/releases.ts';
import {
  compareVersions,
  versionAt,
  versionPlaces,
} from '../../../scripts/support/release/version-places.ts';
import { run } from '../../support/run.ts';
import { checkout } from '../../support/tools/cache.ts';
import { lacking, unless } from '../../support/skips/unless.ts';

const VERSION = '7.1.0';
/** Writes what `npm run package` would, below the directory of `--out`. */
const PACKAGE = `#!/bin/sh
set -e
echo of $(git rev-parse HEAD) > "$2/troupe-${VERSION}-linux-x64.tar.gz"
cd "$2"
sha256sum troupe-* > SHA256SUMS
`;

describe('npm run release', () => {
  let directory: string;
  let repository: string;

  const git = (...args: readonly string[]): string =>
    execFileSync('git', args, { cwd: repository, encoding: 'utf8' }).trim();
  const commitAll = (subject: string): void => {
    git('add', '--all');
    git('commit', '--quiet', '--message', subject);
  };
  const write = (name: string, text: string): void => {
    mkdirSync(join(repository, name, '..'), { recursive: true });
    writeFileSync(join(repository, name), text);
  };
  const textOf = (name: string): string => readFileSync(join(repository, name), 'utf8');
  const release = (...args: readonly string[]): ReturnType<typeof run> =>
    run([process.execPath, join(repository, 'scripts/release.ts'), ...args]);
  const passed = (): readonly string[] => ['--checks-passed', join(directory, 'passed.log')];
  const packages = (): readonly string[] => ['--package', join(directory, 'package')];

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'troupe-release-'));
    repository = join(directory, 'repository');
    mkdirSync(repository);
    writeFileSync(join(directory, 'passed.log'), '12 s in all\n4210 passed, 0 failed, 8 skipped\n');
    writeFileSync(join(directory, 'failed.log'), '4209 passed, 1 failed\n');
    writeFileSync(join(directory, 'package'), PACKAGE, { mode: 0o755 });
    for (const name of ['scripts', 'package.json', 'package-lock.json', 'README.md', '.gitignore'])
      cpSync(join(checkout, name), join(repository, name), { recursive: true });
    write('CHANGELOG.md', '# Changelog\n\n## Unreleased\n\n### Added\n- A thing that users notice.\n');
    write('docs/releases.tsv', `${RELEASES_HEAD}7.0.0\t${'a'.repeat(40)}\t2026-01-02\n`);
    write('src/main.ts', 'measured\n');
    write(`test/fixtures/versions/${VERSION}/manifest.json`, '{}\n');
    git('init', '--quiet', '--initial-branch', 'main');
    for (const [key, value] of [
      ['user.name', 'nobody'],
      ['user.email', 'nobody@localhost'],
      ['commit.gpgsign', 'false'],
      ['core.hooksPath', '/dev/null'],
    ] as const)
      git('config', key, value);
    commitAll('All');
    const measured = git('rev-parse', '--short', 'HEAD');
    const block = (name: string): string =>
      `<!-- ${name}: begin -->\n## ${name}\n\ncommit ${measured}, 2026-01-01\n<!-- ${name}: end -->\n`;
    write('docs/figures.md', ['bench', 'churn', 'kubelet'].map(block).join('\n'));
    commitAll('Figures');
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  it('sets the version, makes packages and notes of the tagged commit, and notes that commit in the next', async () => {
    const before = git('rev-parse', 'HEAD');
    const { code, stderr } = await release(VERSION, ...passed(), ...packages());
    expect([code, stderr]).toEqual([0, '']);
    const tagged = git('rev-parse', `v${VERSION}^{commit}`);
    expect([git('rev-parse', 'HEAD~1'), git('rev-parse', 'HEAD~2')]).toEqual([tagged, before]);
    expect(parseReleases(textOf('docs/releases.tsv')).at(-1)).toMatchObject({
      version: VERSION,
      commit: tagged,
    });
    for (const place of versionPlaces) expect(versionAt(place, textOf(place.file))).toBe(VERSION);
    expect(textOf('CHANGELOG.md')).toMatch(
      /^# Changelog\n\n## Unreleased\n\n## 7\.1\.0 \(\d{4}-\d\d-\d\d\)\n\n### Added\n- A thing/u,
    );
    const out = join(repository, 'dist/release', VERSION);
    expect(readFileSync(join(out, `troupe-${VERSION}-linux-x64.tar.gz`), 'utf8')).toBe(`of ${tagged}\n`);
    const notes = readFileSync(join(out, 'NOTES.md'), 'utf8');
    for (const part of [`# troupe ${VERSION}`, tagged, '- A thing that users notice.', 'not signed'])
      expect(notes).toContain(part);
    expect(git('status', '--porcelain')).toBe('');
    expect((await release(VERSION, ...passed(), ...packages())).stderr).toContain('not higher than the last');
  });

  it('changes nothing with --dry-run', async () => {
    const before = git('rev-parse', 'HEAD');
    const { code, stdout } = await release(VERSION, '--dry-run');
    expect([code, stdout]).toEqual([0, expect.stringContaining(`would release ${VERSION}`)]);
    expect([git('rev-parse', 'HEAD'), git('status', '--porcelain'), git('tag')]).toEqual([before, '', '']);
    expect(existsSync(join(repository, 'dist'))).toBe(false);
  });

  it('says all that is in the way at once', async () => {
    git('checkout', '--quiet', '-b', 'other');
    rmSync(join(repository, 'test'), { recursive: true });
    write('CHANGELOG.md', '# Changelog\n\n## Unreleased\n\n## 7.0.0 (2026-01-02)\n- Old.\n');
    write('src/main.ts', 'changed since\n');
    commitAll('Changed');
    write('more', 'not committed');
    const { code, stderr } = await release(VERSION, '--checks-passed', join(directory, 'failed.log'));
    expect(code).toBe(1);
    for (const reason of [
      'files differ from the commit',
      'the branch is other, not main',
      '"## Unreleased" is empty',
      `no fixture of ${VERSION}`,
      'the last line is not that of a run that passed: 4209 passed, 1 failed',
      'figures of an older commit: bench (of ',
    ])
      expect(stderr).toContain(reason);
    expect(git('tag')).toBe('');
  });

  it('with --older-figures the notes name them', async () => {
    write('src/main.ts', 'changed since\n');
    commitAll('Changed');
    const { code } = await release(VERSION, ...passed(), ...packages(), '--older-figures');
    expect(code).toBe(0);
    const notes = readFileSync(join(repository, 'dist/release', VERSION, 'NOTES.md'), 'utf8');
    expect(notes).toMatch(/of an older commit: bench \(of [0-9a-f]+\), churn/u);
  });

  it('is no release where the packages can not be made', async () => {
    const before = git('rev-parse', 'HEAD');
    writeFileSync(join(directory, 'package'), '#!/bin/sh\nexit 3\n');
    const { code, stderr } = await release(VERSION, ...passed(), ...packages());
    expect([code, stderr]).toEqual([1, expect.stringContaining('ended with 3')]);
    expect([git('rev-parse', 'HEAD'), git('status', '--porcelain'), git('tag')]).toEqual([before, '', '']);
  });

  it.each(['7.0.0', '6.9.9', '7', 'v7.1.0', ''])('%j is no version for the next release', async (version) => {
    expect(await release(version, ...passed())).toMatchObject({ code: 1 });
  });

  unless(it, lacking('/usr/bin/ssh-keygen'))('signs the sums by a key of SSH', async () => {
    const key = join(directory, 'key');
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key]);
    const { code, stderr } = await release(VERSION, ...passed(), ...packages(), '--ssh-key', key);
    expect([code, stderr]).toEqual([0, expect.any(String)]);
    const out = join(repository, 'dist/release', VERSION);
    const allowed = join(directory, 'allowed_signers');
    writeFileSync(allowed, `troupe ${readFileSync(`${key}.pub`, 'utf8')}`);
    const said = execFileSync(
      'ssh-keygen',
      ['-Y', 'verify', '-f', allowed, '-I', 'troupe', '-n', 'file', '-s', join(out, 'SHA256SUMS.sig')],
      { input: readFileSync(join(out, 'SHA256SUMS')), encoding: 'utf8' },
    );
    expect(said).toContain('Good "file" signature');
    expect(readFileSync(join(out, 'NOTES.md'), 'utf8')).toContain('SHA256SUMS.sig');
  });
});

describe('docs/releases.tsv', () => {
  it('has the releases of this repository, in the order of their versions', () => {
    const all = parseReleases(readFileSync(join(checkout, 'docs/releases.tsv'), 'utf8')).map(
      ({ version }) => version,
    );
    expect(all).toEqual(all.toSorted(compareVersions));
  });

  it.each(['1.0\tabc\t2026-01-01', '1.0.0\tabc\t2026-01-01', 'x'])('a line such as %j is refused', (line) => {
    expect(() => parseReleases(`${RELEASES_HEAD}${line}\n`)).toThrow('not a release');
  });
});
