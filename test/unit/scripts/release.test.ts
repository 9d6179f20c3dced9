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
import { testedCommit, testedLine, testedLineOf } from '../../../scripts/support/tested-commit.ts';
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
  /** Figures of this commit; `other` has what stands in place of the commit in some blocks. */
  const measuredOn = (other: Readonly<Record<string, string>>): void => {
    const measured = git('rev-parse', '--short', 'HEAD');
    const block = (name: string): string =>
      `<!-- ${name}: begin -->\n## ${name}\n\ncommit ${other[name] ?? measured}, 2026-01-01\n<!-- ${name}: end -->\n`;
    write('docs/figures.md', ['bench', 'churn', 'kubelet', 'handover', 'upgrade'].map(block).join('\n'));
  };
  /** The log of a run that passed. */
  const logOf = (tested: string): void =>
    writeFileSync(
      join(directory, 'passed.log'),
      `an earlier line\n${tested}\n12 s in all\n4210 passed, 0 failed, 8 skipped\n`,
    );
  const textOf = (name: string): string => readFileSync(join(repository, name), 'utf8');
  const release = (...args: readonly string[]): ReturnType<typeof run> =>
    run([process.execPath, join(repository, 'scripts/release.ts'), ...args]);
  const passed = (): readonly string[] => ['--checks-passed', join(directory, 'passed.log')];
  const packages = (): readonly string[] => ['--package', join(directory, 'package')];

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'troupe-release-'));
    repository = join(directory, 'repository');
    mkdirSync(repository);
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
    logOf(testedLine(repository));
    measuredOn({});
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
      'take-overs of an older commit: handover (of ',
    ])
      expect(stderr).toContain(reason);
    expect(git('tag')).toBe('');
  });

  it('with --older-figures the notes name them', async () => {
    const older = git('rev-parse', '--short', 'HEAD');
    write('src/main.ts', 'changed since\n');
    commitAll('Changed');
    logOf(testedLine(repository));
    measuredOn({ bench: older, churn: older });
    commitAll('Figures of some');
    const { code, stderr } = await release(VERSION, ...passed(), ...packages(), '--older-figures');
    expect([code, stderr]).toEqual([0, '']);
    const notes = readFileSync(join(repository, 'dist/release', VERSION, 'NOTES.md'), 'utf8');
    expect(notes).toContain(`of an older commit: bench (of ${older}), churn (of ${older}).`);
  });

  /** A commit with the same sources that is not before the candidate. */
  const aside = (): string => {
    git('checkout', '--quiet', '-b', 'aside');
    git('commit', '--quiet', '--allow-empty', '--message', 'Aside');
    const commit = git('rev-parse', 'HEAD');
    git('checkout', '--quiet', 'main');
    return commit;
  };

  it.each(['handover', 'upgrade'])(
    'figures of %s must be of this commit or of one before it with the same sources, whatever the options',
    async (name) => {
      const refusal = async (): Promise<string> => {
        const { code, stderr } = await release(VERSION, ...passed(), ...packages(), '--older-figures');
        expect(code).toBe(1);
        return stderr;
      };
      const before = git('rev-parse', '--short', 'HEAD~1');
      const other = aside();
      for (const [at, said] of [
        [`${before} + changes`, `${name} (of no commit)`],
        ['0123456789abcdef', `${name} (of 0123456789abcdef)`],
        [other, `${name} (of ${other})`],
      ] as const) {
        measuredOn({ [name]: at });
        commitAll('Figures');
        expect(await refusal()).toContain(`take-overs of an older commit: ${said}; run them again`);
      }
      write('docs/figures.md', '');
      commitAll('No figures');
      expect(await refusal()).toContain(`take-overs of an older commit: handover (of no commit), upgrade (`);
      expect(git('tag')).toBe('');
    },
  );

  describe('the log of the tests', () => {
    const refusal = async (): Promise<string> => {
      const { code, stderr } = await release(VERSION, ...passed(), ...packages());
      expect([code, git('tag')]).toEqual([1, '']);
      return stderr;
    };

    it('is of this commit, or of one since which only runs have written their figures', async () => {
      write('docs/skips.json', '{}\n');
      commitAll('Skips');
      expect(await release(VERSION, ...passed(), '--dry-run')).toMatchObject({ code: 0 });
      logOf(testedLine(repository));
      expect(await release(VERSION, ...passed(), '--dry-run')).toMatchObject({ code: 0 });
    });

    it('is not of a commit since which a source, a test or a page has changed', async () => {
      const { commit } = /(?<commit>[0-9a-f]{40})/u.exec(textOf('../passed.log'))?.groups ?? {};
      const changed = ['docs/page.md', 'src/main.ts', 'test/a.test.ts'];
      for (const [at, name] of changed.entries()) {
        write(name, 'changed\n');
        commitAll('Changed');
        const names = changed.slice(0, at + 1).join(', ');
        expect(await refusal()).toContain(`passed.log: of ${commit}; changed since: ${names}\n`);
      }
    });

    it('is not of a commit that is not before this one, although it has the same files', async () => {
      const other = aside();
      logOf(`tests of commit ${other}`);
      expect(await refusal()).toContain(`of ${other}, which is not in this branch`);
      logOf(`tests of commit ${'0'.repeat(40)}`);
      expect(await refusal()).toContain('which is not in this branch');
    });

    it('names no commit where files differed from it, the checkout changed meanwhile, or git knew none', async () => {
      const clean = testedLine(repository);
      write('src/more.ts', 'not committed\n');
      const dirty = testedLine(repository);
      rmSync(join(repository, 'src/more.ts'));
      expect(dirty).toBe(`${clean} with changes`);
      expect(testedCommit(`x\n${testedLineOf(clean, clean)}\nx\n`)).toBe(git('rev-parse', 'HEAD'));
      for (const line of [dirty, testedLineOf(clean, dirty), testedLine(directory), ''])
        expect([line, testedCommit(`x\n${line}\nx\n`)]).toEqual([line, '']);
      logOf(dirty);
      expect(await refusal()).toContain('passed.log: not of a commit');
    });
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
