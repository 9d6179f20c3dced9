// What the packages say of themselves and have in them, read from the files that users get.
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { Architecture } from '../../../scripts/support/package/architectures.ts';
import { COMMAND_NAMES } from '../../../src/daemon/commands/commands.ts';
import { type Bill, cycloneDxProblems, licenseOf, npmNameOf } from '../../support/cyclone-dx.ts';
import { runOrThrow } from '../../support/run.ts';
import { checkout } from '../../support/tools/cache.ts';
import { ARCHITECTURES, endsOf, fileIn, own } from './builds.ts';

const DOCUMENTS = 'usr/share/doc/troupe';
/** In both kinds of package. */
const PLACED = [
  'etc/troupe/troupe.toml',
  'usr/bin/troupe',
  'usr/lib/systemd/system/troupe.service',
  'usr/lib/systemd/system/troupe.socket',
  'usr/lib/troupe/deploy/selinux/troupe.cil',
  'usr/lib/troupe/deploy/selinux/troupe-container-selinux.cil',
  'usr/share/bash-completion/completions/troupe',
  'usr/share/fish/vendor_completions.d/troupe.fish',
  ...[undefined, ...COMMAND_NAMES].map(
    (name) => `usr/share/man/man1/troupe${name === undefined ? '' : `-${name}`}.1.gz`,
  ),
  ...['LICENSE', 'README.md', 'sbom.cdx.json'].map((name) => `${DOCUMENTS}/${name}`),
];
/** How esbuild names a module whose code is a function: `"node_modules/pino/pino.js"(`. */
const MODULE = /"node_modules\/((?:@[^/"]+\/)?[^/"]+)\/[^"]*"\(/gu;

const lines = (text: string): readonly string[] => text.split('\n').filter((line) => line !== '');
const words = (text: string): readonly string[] => text.split(', ');

interface Lockfile {
  readonly packages: Readonly<Record<string, { readonly version: string; readonly license?: string }>>;
}

const jsonOf = async <T>(path: string): Promise<T> => JSON.parse(await readFile(path, 'utf8')) as T;

/** A directory of packages, and one for what tests write. */
export class Packages {
  readonly directory: string;
  readonly work: string;

  constructor(directory: string, work: string) {
    this.directory = directory;
    this.work = work;
  }

  async path(architecture: Architecture, kind: 'deb' | 'rpm' | 'tar' | 'sbom'): Promise<string> {
    return join(this.directory, await fileIn(this.directory, endsOf(architecture)[kind]));
  }

  /** What rpm answers about the .rpm, with a database of its own: the machine has perhaps none. */
  async rpm(architecture: Architecture, ...asked: readonly string[]): Promise<string> {
    const database = ['--dbpath', join(this.work, 'rpm-database')];
    const path = await this.path(architecture, 'rpm');
    return await runOrThrow(['rpm', ...database, '--query', '--package', ...asked, path]);
  }

  /** Where the .deb of this machine's architecture is unpacked; once. */
  async tree(): Promise<string> {
    const tree = join(this.work, 'tree-of-deb');
    if (!existsSync(tree)) await runOrThrow(['dpkg-deb', '--extract', await this.path(own, 'deb'), tree]);
    return tree;
  }
}

/** Of each architecture: what package managers read. */
export function fieldTests(packages: () => Packages): void {
  test('SHA256SUMS is of all files, and sha256sum verifies it', async () => {
    const { directory } = packages();
    const sums = lines(await readFile(join(directory, 'SHA256SUMS'), 'utf8'));
    const names = (await readdir(directory)).filter((name) => name !== 'SHA256SUMS');
    expect(sums.map((line) => line.slice(66)).toSorted()).toEqual(names.toSorted());
    await runOrThrow(['sha256sum', '--check', '--strict', '--quiet', 'SHA256SUMS'], { cwd: directory });
  });

  test.each(ARCHITECTURES)(
    'the .deb for %s depends on a runtime and conmon, recommends CNI plugins, and has a conffile',
    async (architecture) => {
      const deb = await packages().path(architecture, 'deb');
      const field = async (name: string): Promise<string> =>
        (await runOrThrow(['dpkg-deb', '--field', deb, name])).trim();
      expect(words(await field('Depends'))).toEqual(expect.arrayContaining(['runc | crun', 'conmon']));
      expect(words(await field('Recommends'))).toContain('containernetworking-plugins');
      expect(await runOrThrow(['dpkg-deb', '--info', deb, 'conffiles'])).toBe('/etc/troupe/troupe.toml\n');
      // "drwxr-xr-x root/root 0 2026-01-01 00:00 ./usr/", with an arrow behind a link
      const listed = lines(await runOrThrow(['dpkg-deb', '--contents', deb])).map((line) =>
        line.split(/ +/u),
      );
      expect(listed.map(([, , , , , name = '']) => name.slice(2))).toEqual(expect.arrayContaining(PLACED));
      expect(new Set(listed.map(([, owner]) => owner))).toEqual(new Set(['root/root']));
    },
  );

  test.each(ARCHITECTURES)(
    'the .rpm for %s requires a runtime and conmon, recommends CNI plugins, and has a configuration file',
    async (architecture) => {
      const asked = async (option: string): Promise<readonly string[]> =>
        lines(await packages().rpm(architecture, option));
      expect(await asked('--requires')).toEqual(expect.arrayContaining(['(runc or crun)', 'conmon']));
      expect(await asked('--recommends')).toContain('containernetworking-plugins');
      expect(await asked('--configfiles')).toEqual(['/etc/troupe/troupe.toml']);
      expect(await asked('--list')).toEqual(expect.arrayContaining(PLACED.map((place) => `/${place}`)));
    },
  );
}

/** What is in the program, with its terms. */
export function billTests(packages: () => Packages): void {
  test.each(ARCHITECTURES)(
    'the bill of materials for %s is CycloneDX, with the versions and terms of package-lock.json',
    async (architecture) => {
      const bill = await jsonOf<Bill>(await packages().path(architecture, 'sbom'));
      expect(cycloneDxProblems(bill)).toEqual([]);
      const { packages: locked } = await jsonOf<Lockfile>(join(checkout, 'package-lock.json'));
      for (const part of bill.components)
        expect([npmNameOf(part), part.version, licenseOf(part)]).toEqual([
          npmNameOf(part),
          locked[`node_modules/${npmNameOf(part)}`]?.version,
          locked[`node_modules/${npmNameOf(part)}`]?.license,
        ]);
      const { name, version } = bill.metadata.component;
      expect([name, version]).toEqual(['troupe', locked['']?.version]);
    },
  );

  test('it has the packages of which modules are in the program and no other, and the terms of each', async () => {
    const tree = await packages().tree();
    const text = await readFile(await packages().path(own, 'sbom'), 'utf8');
    expect(await readFile(join(tree, DOCUMENTS, 'sbom.cdx.json'), 'utf8')).toBe(text);
    const home = join(tree, 'usr/lib/troupe');
    const programs = (await readdir(join(home, 'dist'))).filter((name) => /\.c?js$/u.test(name));
    const bundled = await Promise.all(
      programs.map(async (name) => {
        // its lines are broken within strings, too
        const program = (await readFile(join(home, 'dist', name), 'latin1')).replaceAll('\\\n', '');
        return [...program.matchAll(MODULE)].map(([, module = '']) => module);
      }),
    );
    const beside = (await readdir(join(home, 'node_modules'), { recursive: true })).filter((name) =>
      /^(?:@[^/]+\/)?[^/@]+$/u.test(name),
    );
    const all = [...new Set([...bundled.flat(), ...beside])].toSorted();
    const { components } = JSON.parse(text) as Bill;
    expect(components.map(npmNameOf).toSorted()).toEqual(all);
    for (const name of all)
      expect([name, await readdir(join(tree, DOCUMENTS, 'licenses', name)).catch(() => [])]).toEqual([
        name,
        expect.arrayContaining([expect.stringMatching(/^licen[cs]e/iu)]),
      ]);
  });
}

export function licenseTests(packages: () => Packages): void {
  test('LICENSE names the SPDX id that all files name; the .deb refers to the common licences', async () => {
    const { license } = await jsonOf<{ readonly license: string }>(join(checkout, 'package.json'));
    const text = await readFile(join(checkout, 'LICENSE'), 'utf8');
    expect(/SPDX-License-Identifier: (\S+)\n/u.exec(text)?.[1]).toBe(license);
    const documents = join(await packages().tree(), DOCUMENTS);
    expect(await readFile(join(documents, 'LICENSE'), 'utf8')).toBe(text);
    const copyright = await readFile(join(documents, 'copyright'), 'utf8');
    expect(copyright).toContain(`\nLicense: ${license}\n`);
    expect(copyright).toContain(` /usr/share/common-licenses/${license}.\n`);
    // of all that is in it, as Fedora wants: ours first
    const [ours = ''] = (await packages().rpm(own, '--queryformat', '%{LICENSE}')).split(' AND ');
    expect(ours).toBe(license);
    const bill = await jsonOf<Bill>(await packages().path(own, 'sbom'));
    expect(licenseOf(bill.metadata.component)).toBe(license);
    const archive = await packages().path(own, 'tar');
    const top = (await runOrThrow(['tar', '--list', '--file', archive])).split('/', 1)[0] ?? '';
    const extract = ['tar', '--extract', '--to-stdout', '--file', archive, `${top}/LICENSE`];
    expect(await runOrThrow(extract)).toBe(text);
  });
}
