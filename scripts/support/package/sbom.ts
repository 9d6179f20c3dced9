// The bill of materials: what is in the program, as CycloneDX 1.6 (ECMA-424) in JSON.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { checkout } from '../checkout.ts';
import { LICENSE, SUMMARY } from './metadata.ts';
import type { Component } from './program-tree.ts';

/** Of `process.versions`, what is no library: numbers of interfaces, dates of tables. */
const NO_LIBRARY = new Set(['node', 'modules', 'napi', 'tz', 'cldr', 'unicode']);

const lockfile = JSON.parse(readFileSync(join(checkout, 'package-lock.json'), 'utf8')) as {
  readonly packages: Readonly<Record<string, { readonly version?: string; readonly integrity?: string }>>;
};

const purl = ({ name, version }: Pick<Component, 'name' | 'version'>): string =>
  `pkg:npm/${name.replace('@', '%40')}@${version}`;

const terms = (license: string): readonly object[] => [
  /[ ()]/u.test(license) ? { expression: license } : { license: { id: license } },
];

/** The checksum in the lockfile, which npm compares with what it fetches. */
function hashesOf(name: string): readonly object[] {
  const [algorithm, digest] = (lockfile.packages[`node_modules/${name}`]?.integrity ?? '').split('-');
  if (algorithm !== 'sha512' || digest === undefined)
    throw new Error(`package-lock.json: ${name} has no sha512`);
  return [{ alg: 'SHA-512', content: Buffer.from(digest, 'base64').toString('hex') }];
}

/** The libraries in Node's binary, as it names them itself. */
const insideNode = (): readonly object[] =>
  Object.entries(process.versions)
    // an empty version is that of a library that this Node was built without
    .filter(([name, version]) => !NO_LIBRARY.has(name) && version !== '')
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, version = '']) => ({
      type: 'library',
      'bom-ref': `node/${name}@${version}`,
      name,
      version,
    }));

function described(component: Component): object {
  const { name, version, license } = component;
  const isNode = name.startsWith('node-linux-');
  // the pinned Node runs this script
  if (isNode && process.versions.node !== version)
    throw new Error(`the pinned Node is ${version}, and this is ${process.versions.node}`);
  return {
    type: isNode ? 'application' : 'library',
    'bom-ref': purl(component),
    ...(name.startsWith('@')
      ? { group: name.slice(0, name.indexOf('/')), name: name.slice(name.indexOf('/') + 1) }
      : { name }),
    version,
    licenses: terms(license),
    purl: purl(component),
    hashes: hashesOf(name),
    ...(isNode ? { components: insideNode() } : {}),
  };
}

/** A UUID of version 8 (RFC 9562): of the content, so that the same program has the same one. */
function uuidOf(text: string): string {
  const digest = createHash('sha256').update(text).digest('hex');
  const variant = ((Number.parseInt(digest.slice(16, 17), 16) & 3) | 8).toString(16);
  return [
    digest.slice(0, 8),
    digest.slice(8, 12),
    `8${digest.slice(13, 16)}`,
    `${variant}${digest.slice(17, 20)}`,
    digest.slice(20, 32),
  ].join('-');
}

/** The document's text. @param seconds its time */
export function billOfMaterials(components: readonly Component[], version: string, seconds: number): string {
  const own = `pkg:generic/troupe@${version}`;
  const known = new Map(components.map((component) => [component.name, purl(component)]));
  const content = {
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    version: 1,
    metadata: {
      timestamp: new Date(seconds * 1000).toISOString(),
      component: {
        type: 'application',
        'bom-ref': own,
        name: 'troupe',
        version,
        description: SUMMARY,
        licenses: terms(LICENSE),
        purl: own,
      },
    },
    components: components.map(described),
    dependencies: [
      { ref: own, dependsOn: [...known.values()] },
      ...components.map((component) => ({
        ref: purl(component),
        dependsOn: component.dependsOn.flatMap((name) => known.get(name) ?? []),
      })),
    ],
  };
  const { bomFormat, ...rest } = content;
  const serialNumber = `urn:uuid:${uuidOf(JSON.stringify(content))}`;
  return `${JSON.stringify({ bomFormat, serialNumber, ...rest }, undefined, 2)}\n`;
}

/** All terms of what is in a package, ours first, as one SPDX expression. */
export const licenseExpression = (components: readonly Component[]): string =>
  [
    ...new Set([
      LICENSE,
      ...components.map(({ license }) => (/^[^(].* /u.test(license) ? `(${license})` : license)).toSorted(),
    ]),
  ].join(' AND ');
