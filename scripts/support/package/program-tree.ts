// The program as it is installed: a tree that needs nothing of npm and git. It has the checkout's layout, so that
// bin/troupe and the bundle find their parts in both.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkout } from '../checkout.ts';
import { type Architecture, binaryPackage, binaryPackages } from './architectures.ts';
import { entriesBelow, type PackedEntry } from './entries.ts';
import { termsOf } from './terms.ts';

/** Where V8's compiled code goes: /usr may be read-only, and a package manager owns what lies there. */
const CODE_CACHE = '/var/cache/troupe';

/** A package of npm whose code is in the program. */
export interface Component {
  readonly name: string;
  readonly version: string;
  /** SPDX id or expression. */
  readonly license: string;
  readonly directory: string;
  readonly dependsOn: readonly string[];
}

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly license?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
}

function componentAt(directory: string): Component {
  const {
    name,
    version,
    license,
    dependencies = {},
  } = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')) as Manifest;
  if (license === undefined) throw new Error(`${directory}: package.json names no license`);
  return { name, version, license, directory, dependsOn: Object.keys(dependencies).toSorted() };
}

/** The directory of the package that a source file belongs to. */
function packageOf(source: string): string | undefined {
  return /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/u.exec(source)?.[0];
}

/** Node, koffi, and all of which the bundle has a part. */
export function componentsOf(architecture: Architecture, sources: readonly string[]): readonly Component[] {
  const bundled = new Set(sources.flatMap((source) => packageOf(source) ?? []));
  return [
    ...binaryPackages(architecture).map((name) => componentAt(binaryPackage(name, architecture))),
    ...[...bundled].map((path) => componentAt(join(checkout, path))),
  ].toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

function binaries(architecture: Architecture): readonly PackedEntry[] {
  const [node, koffi] = binaryPackages(architecture);
  const library = `linux_${architecture}/koffi.node`;
  return [
    {
      path: `node_modules/${node}/bin/node`,
      from: join(binaryPackage(node, architecture), 'bin/node'),
      mode: 0o755,
    },
    {
      path: `node_modules/${koffi}/${library}`,
      from: join(binaryPackage(koffi, architecture), library),
      mode: 0o644,
    },
  ];
}

const page = (name: string): PackedEntry => ({ path: name, from: join(checkout, name), mode: 0o644 });

/**
 * The tree of one architecture.
 * @param bundle directory of the bundle
 * @param bill the bill of materials
 */
export function programEntries(
  architecture: Architecture,
  bundle: string,
  components: readonly Component[],
  bill: string,
): readonly PackedEntry[] {
  return [
    ...['bin/troupe', 'bin/troupe-starter'].map((path) => ({
      path,
      from: join(checkout, path),
      mode: 0o755,
    })),
    ...entriesBelow(bundle, 'dist'),
    { path: 'dist/code-cache', link: CODE_CACHE },
    ...binaries(architecture),
    ...entriesBelow(join(checkout, 'deploy'), 'deploy'),
    ...['README.md', 'CHANGELOG.md', 'LICENSE', 'SECURITY.md']
      .filter((name) => existsSync(join(checkout, name)))
      .map(page),
    // with the pages about the work on troupe, to which the others have links
    ...entriesBelow(join(checkout, 'docs'), 'docs').filter(({ path }) => !path.endsWith('.json')),
    ...components.flatMap(termsOf),
    { path: 'sbom.cdx.json', content: bill, mode: 0o644 },
  ];
}
