// docs/versions.md says what the code says: the version of each kind of stored file, and the types of records.
import { describe, expect, it } from 'vitest';
import { releases } from '../../scripts/support/releases.ts';
import { compareVersions, versionAt, versionPlaces } from '../../scripts/support/release/version-places.ts';
import { madeAnew, storedVersions } from '../../src/base/stored-versions.ts';
import { TAKE_OVER_PROTOCOL } from '../../src/daemon/takeover/messages.ts';
import { RECORD_TYPES } from '../../src/journal/record-types.ts';
import { textOf } from './support/sources.ts';

const page = textOf('docs/versions.md');

/** Cells of the table's rows whose first cell begins with a name in code style. */
function rowsOf(heading: string): readonly (readonly string[])[] {
  const [section = ''] = (page.split(`\n## ${heading}\n`)[1] ?? '').split('\n## ');
  const [table = ''] = section.split('\n| what |');
  return table
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
}

const nameIn = (cell = ''): string => /^`([^`]+)`/u.exec(cell)?.[1] ?? '';

describe('docs/versions.md', () => {
  it('has each kind of stored file with the version in the code', () => {
    const written = rowsOf('Files').map(([kind, version]) => [nameIn(kind), Number(version)]);
    expect(Object.fromEntries(written)).toEqual(storedVersions);
    expect(written).toHaveLength(Object.keys(storedVersions).length);
  });

  it.each(rowsOf('Files').map((row) => [nameIn(row[0]), row] as const))(
    'names the files that read and write %s',
    (kind, [, , files = '', older = '', newer = '']) => {
      const named = [...files.matchAll(/`([^`]+)`/gu)].map((match) => match[1] ?? '');
      expect(named).not.toEqual([]);
      for (const file of named) expect(textOf(file), file).toContain(`storedVersions.${kind}`);
      expect([older, newer]).not.toContain('');
    },
  );

  it('an older program refuses to start on what it can neither read nor make anew', () => {
    for (const [kind, , , older = ''] of rowsOf('Files'))
      expect([nameIn(kind), older.startsWith('refuses to start')]).toEqual([
        nameIn(kind),
        !madeAnew.has(nameIn(kind) as never),
      ]);
  });

  it('has the version of what two daemons say to each other', () => {
    const [, version] = /^\| `handover`[^|]*\| (\d+) \|/mu.exec(page) ?? [];
    expect(Number(version)).toBe(TAKE_OVER_PROTOCOL);
  });

  it('has each type of record with the version of the journal since which it exists', () => {
    const written = rowsOf('Records of the journal').map(([type, since]) => [nameIn(type), Number(since)]);
    expect(Object.fromEntries(written)).toEqual(RECORD_TYPES);
    expect(Math.max(...Object.values(RECORD_TYPES))).toBeLessThanOrEqual(storedVersions.journal);
  });
});

describe('the version of troupe', () => {
  const [first = '', ...others] = versionPlaces.map((place) => versionAt(place, textOf(place.file)));

  it('is the same in each place that names it', () => {
    expect(others.filter((version) => version !== first)).toEqual([]);
  });

  it('is not lower than the last release, and each release has its section in the changelog', () => {
    const all = releases();
    const last = all.at(-1)?.version ?? '0.0.0';
    expect([first, compareVersions(first, last) >= 0]).toEqual([first, true]);
    const headings = [...textOf('CHANGELOG.md').matchAll(/^## (\d+\.\d+\.\d+) /gmu)].map((match) => match[1]);
    expect(headings).toEqual(expect.arrayContaining(all.map(({ version }) => version)));
  });
});
