// The parts of `npm run package` that need no tool: trees, archive, bill of materials. The packages themselves are
// installed in test/e2e/packages.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { contentOf, directoriesOf, type PackedEntry } from '../../../scripts/support/package/entries.ts';
import { packageVersion } from '../../../scripts/support/package/metadata.ts';
import { componentsOf, programEntries } from '../../../scripts/support/package/program-tree.ts';
import { billOfMaterials, licenseExpression } from '../../../scripts/support/package/sbom.ts';
import { systemEntries } from '../../../scripts/support/package/system-tree.ts';
import { termsOf } from '../../../scripts/support/package/terms.ts';
import { tarballOf } from '../../../scripts/support/package/tarball.ts';
import { type Bill, cycloneDxProblems } from '../../support/cyclone-dx.ts';

const SECONDS = 1_700_000_000;
const own = process.arch === 'arm64' ? 'arm64' : 'x64';
const components = componentsOf(own, [
  'src/daemon/main.ts',
  'node_modules/xstate/dist/xstate.js',
  'node_modules/@bufbuild/protobuf/dist/esm/index.js',
  'node_modules/yaml/dist/index.js',
]);
const bill = billOfMaterials(components, '1.2.3', SECONDS);

describe('the bill of materials', () => {
  const parsed = JSON.parse(bill) as Bill;

  it('has the structure of CycloneDX 1.6', () => {
    expect(cycloneDxProblems(parsed)).toEqual([]);
    expect(parsed.metadata.timestamp).toBe('2023-11-14T22:13:20.000Z');
  });

  it.each([
    [
      'a reference that two parts have',
      { ...parsed, components: [...parsed.components, ...parsed.components] },
    ],
    ['a dependency on nothing', { ...parsed, dependencies: [{ ref: 'x', dependsOn: [] }] }],
    [
      'a part without a version',
      { ...parsed, components: [{ ...parsed.components[0], version: undefined }] },
    ],
  ] as const)('%s is a problem', (_name, bad) => {
    expect(cycloneDxProblems(JSON.parse(JSON.stringify(bad)))).not.toEqual([]);
  });

  it('has the packages of the bundle, Node and the libraries in Node', () => {
    const names = components.map(({ name }) => name);
    expect(names).toEqual([
      '@bufbuild/protobuf',
      `@koromix/koffi-linux-${own}`,
      `node-linux-${own}`,
      'xstate',
      'yaml',
    ]);
    const node = parsed.components.find(({ name }) => name === `node-linux-${own}`);
    expect(node?.version).toBe(process.versions.node);
    expect(node?.components?.find(({ name }) => name === 'openssl')?.version).toBe(process.versions.openssl);
  });

  it('is the same for the same program, and another one for another', () => {
    expect(billOfMaterials(components, '1.2.3', SECONDS)).toBe(bill);
    const serial = (text: string): string => (JSON.parse(text) as { serialNumber: string }).serialNumber;
    expect(serial(billOfMaterials(components, '1.2.4', SECONDS))).not.toBe(serial(bill));
  });

  it('the terms of all parts make one expression', () => {
    expect(licenseExpression(components)).toBe(
      'Apache-2.0 AND (Apache-2.0 AND BSD-3-Clause) AND ISC AND MIT',
    );
  });
});

describe('the trees', () => {
  const work = mkdtempSync(join(tmpdir(), 'troupe-bundle-'));
  writeFileSync(join(work, 'troupe.cjs'), '');
  const program = programEntries(own, work, components, bill);
  rmSync(work, { recursive: true });
  const paths = (entries: readonly PackedEntry[]): readonly string[] => entries.map(({ path }) => path);

  it('the program has what starts it, and nothing of npm', () => {
    expect(paths(program)).toEqual(
      expect.arrayContaining([
        'bin/troupe',
        'dist/troupe.cjs',
        'dist/code-cache',
        `node_modules/node-linux-${own}/bin/node`,
        `node_modules/@koromix/koffi-linux-${own}/linux_${own}/koffi.node`,
        'deploy/troupe.toml',
        'LICENSE',
        `licenses/node-linux-${own}/LICENSE`,
        `licenses/@koromix/koffi-linux-${own}/LICENSE.txt`,
        'licenses/xstate/LICENSE',
        'licenses/@bufbuild/protobuf/LICENSE',
      ]),
    );
    const known =
      /^(?:bin|deploy|dist|docs|licenses|node_modules\/(?:node-linux|@koromix))|^[A-Z]+(?:\.md)?$|^sbom/u;
    expect(paths(program).filter((path) => !known.test(path))).toEqual([]);
    expect(paths(program).filter((path) => /\.(?:ts|map)$/u.test(path))).toEqual([]);
  });

  it('an author who states terms in modules only has them in a file: notices once each, and the text they name', () => {
    const content = (path: string): string => {
      const entry = program.find((one) => one.path === path);
      return entry === undefined || 'link' in entry ? '' : String(contentOf(entry));
    };
    const notice = content('licenses/@bufbuild/protobuf/NOTICE');
    expect(notice).toContain('Buf Technologies, Inc.');
    // of code from another house, whose terms ask to be reproduced; at the head of several modules
    for (const part of ['Copyright 2008 Google Inc.', 'Redistributions in binary form must reproduce'])
      expect([part, notice.split(part).length - 1]).toEqual([part, 1]);
    expect(content('licenses/@bufbuild/protobuf/LICENSE')).toContain('Apache License');
  });

  it('a component without any terms is not packed', () => {
    const directory = mkdtempSync(join(tmpdir(), 'troupe-terms-'));
    try {
      writeFileSync(join(directory, 'index.js'), '// as you like\n');
      expect(() => termsOf({ name: 'x', license: 'MIT', directory })).toThrow('neither a file of terms');
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it.each(['deb', 'rpm'] as const)(
    'a %s has each path once, and nothing in /opt, /usr/local, /etc/cni or /var',
    (family) => {
      const system = paths(systemEntries(program, family, '1.2.3'));
      expect(new Set(system).size).toBe(system.length);
      expect(system.filter((path) => !/^(?:usr\/(?:bin|lib|share)|etc\/troupe)\//u.test(path))).toEqual([]);
      expect(system).toEqual(
        expect.arrayContaining([
          'usr/bin/troupe',
          'usr/share/man/man1/troupe.1.gz',
          'usr/share/man/man1/troupe-why.1.gz',
          'usr/share/bash-completion/completions/troupe',
          `usr/share/zsh/${family === 'deb' ? 'vendor-completions' : 'site-functions'}/_troupe`,
          'usr/share/fish/vendor_completions.d/troupe.fish',
          'usr/lib/troupe/deploy/selinux/troupe.cil',
          'usr/share/doc/troupe/LICENSE',
        ]),
      );
    },
  );

  it.each(['service', 'socket'])('the %s of a package names no path of a tree in /opt', (kind) => {
    const entry = systemEntries(program, 'deb', '1.2.3').find(
      ({ path }) => path === `usr/lib/systemd/system/troupe.${kind}`,
    );
    const content = entry !== undefined && 'content' in entry ? String(entry.content) : '';
    if (kind === 'service') expect(content).toContain('ExecStart=/usr/lib/troupe/bin/troupe serve');
    expect(content).toContain('Documentation=file:///usr/share/doc/troupe/README.md');
    expect(content).not.toContain('/opt/');
  });
});

describe('the archive', () => {
  const entries: readonly PackedEntry[] = [
    { path: 'b/run', content: '#!/bin/sh\n', mode: 0o755 },
    { path: 'a', content: 'a', mode: 0o644 },
    { path: 'b/link', link: '../a' },
  ];

  it('has the same bytes in whatever order the entries come', async () => {
    expect(directoriesOf(entries)).toEqual(['b']);
    const one = await tarballOf(entries, 'top', SECONDS);
    expect((await tarballOf(entries.toReversed(), 'top', SECONDS)).equals(one)).toBe(true);
    const listed = execFileSync(
      'tar',
      ['--list', '--verbose', '--gzip', '--full-time', '--utc', '--file', '-'],
      {
        input: one,
        encoding: 'utf8',
      },
    );
    expect(listed.replaceAll(/ +/gu, ' ').trimEnd().split('\n')).toEqual([
      'drwxr-xr-x 0/0 0 2023-11-14 22:13:20 top/',
      '-rw-r--r-- 0/0 1 2023-11-14 22:13:20 top/a',
      'drwxr-xr-x 0/0 0 2023-11-14 22:13:20 top/b/',
      'lrwxrwxrwx 0/0 0 2023-11-14 22:13:20 top/b/link -> ../a',
      '-rwxr-xr-x 0/0 10 2023-11-14 22:13:20 top/b/run',
    ]);
  });
});

it('a version before a release has a tilde, which package managers sort before the release', () => {
  expect(['1.0.0', '1.0.0-rc.1'].map(packageVersion)).toEqual(['1.0.0', '1.0.0~rc.1']);
});
