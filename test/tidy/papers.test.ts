// What is written down is true: dependencies, commands, configuration; and nothing that is no business of readers.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { ConfigKeys, Rule } from '../../src/daemon/config/sections/config-rule.ts';
import { defaultConfig, schema } from '../../src/daemon/config/config-schema.ts';
import { applyFile } from '../../src/daemon/config/config.ts';
import { checkout, filesBelow, sourcesBelow, textOf } from './support/sources.ts';

const manifest = JSON.parse(textOf('package.json')) as Readonly<
  Record<
    'scripts' | 'dependencies' | 'devDependencies' | 'optionalDependencies',
    Readonly<Record<string, string>>
  >
> & { readonly allowScripts: Readonly<Record<string, boolean>> };
interface Lockfile {
  readonly lockfileVersion: number;
  /** By path; the empty one is ours. */
  readonly packages: Readonly<
    Record<
      string,
      { readonly version?: string; readonly integrity?: string; readonly hasInstallScript?: boolean }
    >
  >;
}

const pages = [
  'README.md',
  'CHANGELOG.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
  ...filesBelow('docs'),
  ...filesBelow('deploy'),
].filter((file) => existsSync(join(checkout, file)));

describe('dependencies', () => {
  const all = Object.keys({
    ...manifest.dependencies,
    ...manifest.devDependencies,
    ...manifest.optionalDependencies,
  });

  it('each has its line in docs/dependencies.md, and no line is unused', () => {
    const lines = [...textOf('docs/dependencies.md').matchAll(/^\| `([^`]+)` \|/gmu)].map(
      (match) => match[1],
    );
    expect(new Set(lines)).toEqual(new Set(all));
    expect(lines).toHaveLength(all.length);
  });

  it('the glibc that a start asks for is that of packages and documents', () => {
    const least = /older than ([\d.]+)/u.exec(textOf('src/host/ffi/check.ts'))?.[1];
    expect(least).toMatch(/^2\.\d+$/u);
    for (const [file, line] of [
      ['README.md', /^\| C library \| glibc ([\d.]+)/mu],
      ['docs/install.md', /^\| C library \| glibc ([\d.]+)/mu],
      ['scripts/support/package/deb.ts', /libc6 \(>= ([\d.]+)\)/u],
      ['scripts/support/package/rpm.ts', /Requires: glibc >= ([\d.]+)/u],
    ] as const)
      expect([file, line.exec(textOf(file))?.[1]]).toEqual([file, least]);
  });

  it('are pinned exactly, the types of Node excepted', () => {
    const loose = Object.entries({
      ...manifest.dependencies,
      ...manifest.devDependencies,
      ...manifest.optionalDependencies,
    }).filter(([, version]) => !/^\d/u.test(version));
    expect(loose.map(([name]) => name)).toEqual(['@types/node']);
  });

  it('S82: the lockfile has a checksum for each package; those that may run something when installed are named; ten are run-time dependencies', () => {
    const { lockfileVersion, packages } = JSON.parse(textOf('package-lock.json')) as Lockfile;
    const installed = Object.entries(packages).filter(([path]) => path !== '');
    expect(lockfileVersion).toBe(3);
    expect(
      installed.filter(
        ([, { version, integrity }]) => version === undefined || integrity?.startsWith('sha512-') !== true,
      ),
    ).toEqual([]);
    const withScripts = installed
      .filter(([, { hasInstallScript }]) => hasInstallScript === true)
      .map(([path]) => path.slice('node_modules/'.length));
    expect(withScripts.toSorted()).toEqual(Object.keys(manifest.allowScripts).toSorted());
    expect(Object.keys(manifest.dependencies).length).toBeLessThanOrEqual(10);
  });

  it('every imported package is listed', () => {
    const used = ['src', 'test', 'scripts']
      .flatMap(sourcesBelow)
      .flatMap(({ imports }) =>
        imports.filter(({ file, specifier }) => file === undefined && !specifier.startsWith('node:')),
      );
    const packages = new Set(
      used.map(({ specifier }) =>
        specifier
          .split('/')
          .slice(0, specifier.startsWith('@') ? 2 : 1)
          .join('/'),
      ),
    );
    expect([...packages].filter((name) => !all.includes(name))).toEqual([]);
  });
});

describe('commands', () => {
  const reported = pages.flatMap((file) =>
    [...textOf(file).matchAll(/(?:`|sudo |^)npm (?:run )?([a-z][a-z0-9-]*)/gmu)].map((match) => ({
      file,
      name: match[1] ?? '',
    })),
  );
  // npm's own
  const OWN = ['install'];

  it('named in documents exist', () => {
    expect(reported.length).toBeGreaterThan(3);
    expect(reported.filter(({ name }) => !(name in manifest.scripts) && !OWN.includes(name))).toEqual([]);
  });

  it('run existing files', () => {
    const files = Object.entries(manifest.scripts).flatMap(([name, command]) =>
      [...command.matchAll(/(?:^|\s)((?:bin|scripts|test|src)\/[\w./-]+)/gu)].map((match) => ({
        name,
        file: match[1] ?? '',
      })),
    );
    expect(files.filter(({ file }) => !existsSync(join(checkout, file)))).toEqual([]);
  });
});

it('links between documents have a target', () => {
  const broken = pages
    .filter((file) => file.endsWith('.md'))
    .flatMap((file) =>
      [...textOf(file).matchAll(/\]\((?!https?:)([^)#]+)[^)]*\)/gu)]
        .map((match) => join(file, '..', match[1] ?? ''))
        .filter((target) => !existsSync(join(checkout, target)))
        .map((target) => `${file}: ${target}`),
    );
  expect(broken).toEqual([]);
});

it('files named in CONTRIBUTING.md exist', () => {
  const named = [...textOf('CONTRIBUTING.md').matchAll(/`((?:src|test|docs|scripts|\.githooks)[\w./-]*)`/gu)];
  expect(named.length).toBeGreaterThan(40);
  expect(named.map((match) => match[1] ?? '').filter((path) => !existsSync(join(checkout, path)))).toEqual(
    [],
  );
});

describe('configuration', () => {
  const keysOf = (rules: Readonly<Record<string, Rule>>, path: string): readonly string[] =>
    Object.entries(rules).flatMap(([key, rule]) => {
      const at = `${path}${key}`;
      if (rule.is === 'table') return keysOf(rule.keys, `${at}.`);
      return rule.is === 'named' ? keysOf(rule.each, `${at}.<name>.`) : [at];
    });
  const marksOf = (keys: ConfigKeys, path: string): readonly (readonly [string, boolean])[] =>
    Object.entries(keys).flatMap(([key, rule]) => {
      const at = `${path}${key}`;
      if (rule.is === 'table') return marksOf(rule.keys, `${at}.`);
      const names = rule.is === 'named' ? keysOf(rule.each, `${at}.<name>.`) : [at];
      return names.map((name) => [name, rule.reload] as const);
    });
  const table = [...textOf('docs/configuration.md').matchAll(/^\| `([^`]+)` \| ([^|]*) \| ([^|]*) \|/gmu)];
  const rows = new Map(table.map((match) => [match[1] ?? '', match[2] ?? '']));

  it('docs/configuration.md has every key, in order, and no other', () => {
    expect([...rows.keys()]).toEqual(keysOf(schema, ''));
  });

  it('docs/configuration.md says which keys a reload changes', () => {
    const marks = table.map((match) => [match[1] ?? '', (match[3] ?? '').trim()]);
    expect(marks).toEqual(marksOf(schema, '').map(([key, isReloaded]) => [key, isReloaded ? 'yes' : 'no']));
  });

  it('docs/configuration.md has every default', () => {
    const valueOf = (path: string): unknown =>
      path
        .split('.')
        .reduce<unknown>((at, key) => (at as Readonly<Record<string, unknown>>)[key], defaultConfig);
    const plain = [...rows].filter(([key]) => !key.includes('<'));
    const wrong = plain.filter(([key, cell]) => {
      const value = valueOf(key);
      const expected =
        Array.isArray(value) && value.length > 0
          ? value.map((one) => `\`${String(one)}\``).join(', ')
          : value === '' || Array.isArray(value)
            ? 'empty'
            : `\`${String(value)}\``;
      return cell.trim() !== expected;
    });
    expect(wrong).toEqual([]);
  });

  it('docs/configuration.md has examples that are valid', () => {
    const page = textOf('docs/configuration.md');
    const examples = [...page.matchAll(/^```toml\n(.*?)^```/gmsu)].map((match) => match[1] ?? '');
    expect(examples.length).toBeGreaterThan(10);
    for (const example of examples)
      expect(() => applyFile(defaultConfig, example, 'configuration.md')).not.toThrow();
  });

  describe('deploy/troupe.toml', () => {
    const uncommented = textOf('deploy/troupe.toml').replaceAll(/^#(?=[a-z[])/gmu, '');
    const emptied = JSON.parse(JSON.stringify(defaultConfig), (_key, value: unknown) =>
      typeof value === 'string' ? 'unset' : value,
    ) as typeof defaultConfig;

    it('changes nothing as shipped', () => {
      expect(applyFile(defaultConfig, textOf('deploy/troupe.toml'), 'troupe.toml')).toEqual(defaultConfig);
    });

    it('is the whole default configuration when uncommented', () => {
      expect(applyFile(emptied, uncommented, 'troupe.toml')).toEqual(defaultConfig);
    });
  });
});

describe('the checkout never mentions', () => {
  const files = [
    ...pages,
    ...['src', 'test', 'scripts', 'proto', 'bin'].flatMap(filesBelow),
    'package.json',
    'package-lock.json',
    '.oxlintrc.json',
  ];
  // in pieces, since the check reads this file, too
  const WORDS: readonly (readonly [string, RegExp])[] = [
    [
      'hosts of package registries',
      new RegExp(
        ['registry\\.np', 'mjs|proxy\\.go', 'lang|sum\\.go', 'lang|pypi\\.', 'org|deb\\.de', 'bian'].join(''),
        'u',
      ),
    ],
    ['paths of one machine', new RegExp(['(^|[\\s"\'`=:(])/wo', 'rk/'].join(''), 'mu')],
  ];

  it.each(WORDS)('%s', (_what, pattern) => {
    expect(files.filter((file) => pattern.test(textOf(file)))).toEqual([]);
  });
});
