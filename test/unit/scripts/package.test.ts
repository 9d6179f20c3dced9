// The parts of `npm run package` that need no tool: trees, archive, bill of materials. The packages themselves are
// installed in test/e2e/packages.
import { Ajv2020 } from 'ajv/dist/2020.js';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { directoriesOf, type PackedEntry } from '../../../scripts/support/package/entries.ts';
import { packageVersion } from '../../../scripts/support/package/metadata.ts';
import { componentsOf, programEntries } from '../../../scripts/support/package/program-tree.ts';
import { billOfMaterials, licenseExpression } from '../../../scripts/support/package/sbom.ts';
import { systemEntries } from '../../../scripts/support/package/system-tree.ts';
import { tarballOf } from '../../../scripts/support/package/tarball.ts';

const SECONDS = 1_700_000_000;
const own = process.arch === 'arm64' ? 'arm64' : 'x64';
const components = componentsOf(own, [
  'src/daemon/main.ts',
  'node_modules/xstate/dist/xstate.js',
  'node_modules/@bufbuild/protobuf/dist/esm/index.js',
  'node_modules/yaml/dist/index.js',
]);
const bill = billOfMaterials(components, '1.2.3', SECONDS);

/** What CycloneDX 1.6 asks of the parts that a bill of ours has. */
const NAMED = {
  type: 'object',
  required: ['type', 'name', 'version', 'bom-ref'],
  additionalProperties: false,
  properties: {
    type: { enum: ['application', 'library'] },
    'bom-ref': { type: 'string', minLength: 1 },
    group: { type: 'string', minLength: 1 },
    name: { type: 'string', minLength: 1 },
    version: { type: 'string', minLength: 1 },
    description: { type: 'string' },
    purl: { type: 'string', pattern: '^pkg:[a-z]+/[^ @]+@[^ @]+$' },
    licenses: {
      type: 'array',
      minItems: 1,
      items: {
        oneOf: [
          {
            type: 'object',
            required: ['expression'],
            additionalProperties: false,
            properties: { expression: { type: 'string' } },
          },
          {
            type: 'object',
            required: ['license'],
            additionalProperties: false,
            properties: {
              license: {
                type: 'object',
                required: ['id'],
                additionalProperties: false,
                properties: { id: { type: 'string', pattern: '^[A-Za-z0-9.+-]+$' } },
              },
            },
          },
        ],
      },
    },
    hashes: {
      type: 'array',
      items: {
        type: 'object',
        required: ['alg', 'content'],
        additionalProperties: false,
        properties: { alg: { const: 'SHA-512' }, content: { type: 'string', pattern: '^[0-9a-f]{128}$' } },
      },
    },
    components: { type: 'array', items: { $ref: '#/$defs/named' } },
  },
} as const;
const BILL = {
  type: 'object',
  required: ['bomFormat', 'specVersion', 'serialNumber', 'version', 'metadata', 'components', 'dependencies'],
  additionalProperties: false,
  $defs: { named: NAMED },
  properties: {
    bomFormat: { const: 'CycloneDX' },
    specVersion: { const: '1.6' },
    serialNumber: {
      type: 'string',
      pattern: '^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$',
    },
    version: { type: 'integer', minimum: 1 },
    metadata: {
      type: 'object',
      required: ['timestamp', 'component'],
      additionalProperties: false,
      properties: {
        timestamp: { const: '2023-11-14T22:13:20.000Z' },
        component: { $ref: '#/$defs/named' },
      },
    },
    components: { type: 'array', items: { $ref: '#/$defs/named' } },
    dependencies: {
      type: 'array',
      items: {
        type: 'object',
        required: ['ref', 'dependsOn'],
        additionalProperties: false,
        properties: { ref: { type: 'string' }, dependsOn: { type: 'array', items: { type: 'string' } } },
      },
    },
  },
} as const;

interface Named {
  readonly 'bom-ref': string;
  readonly name: string;
  readonly version: string;
  readonly components?: readonly Named[];
}
interface Bill {
  readonly metadata: { readonly component: Named };
  readonly components: readonly Named[];
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn: readonly string[] }[];
}

describe('the bill of materials', () => {
  const parsed = JSON.parse(bill) as Bill;

  it('has the structure of CycloneDX 1.6', () => {
    const ajv = new Ajv2020({ allErrors: true, strict: false });
    expect([ajv.validate(BILL, parsed), ajv.errors]).toEqual([true, null]);
  });

  it('each reference is of one part, and each dependency is a reference', () => {
    const all = [parsed.metadata.component, ...parsed.components].flatMap((one) => [
      one,
      ...(one.components ?? []),
    ]);
    const references = all.map((one) => one['bom-ref']);
    expect(new Set(references).size).toBe(references.length);
    const asked = parsed.dependencies.flatMap(({ ref, dependsOn }) => [ref, ...dependsOn]);
    expect(asked.filter((ref) => !references.includes(ref))).toEqual([]);
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
      ]),
    );
    const known =
      /^(?:bin|deploy|dist|docs|licenses|node_modules\/(?:node-linux|@koromix))|^[A-Z]+(?:\.md)?$|^sbom/u;
    expect(paths(program).filter((path) => !known.test(path))).toEqual([]);
    expect(paths(program).filter((path) => /\.(?:ts|map)$/u.test(path))).toEqual([]);
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
