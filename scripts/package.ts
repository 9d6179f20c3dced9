// `npm run package`: the packages of this commit in dist/, for x64 and arm64, without the network: .tar.gz, .deb, .rpm,
// a bill of materials, and SHA256SUMS of them. The same commit gives the same bytes; docs/install.md says what of the
// machine plays a part. `-- --arch x64` makes some of them, `--form deb,rpm` too, `--out DIRECTORY` elsewhere. Tests of
// upgrades give `--version`.
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { bundleInto } from './support/bundle-daemon.ts';
import { checkout } from './support/checkout.ts';
import { type Architecture, ARCHITECTURES, NAMES } from './support/package/architectures.ts';
import { commitSeconds, isChanged } from './support/package/commit.ts';
import { makeDeb } from './support/package/deb.ts';
import type { PackedEntry } from './support/package/entries.ts';
import { packageVersion, VERSION_OF_CHECKOUT } from './support/package/metadata.ts';
import { componentsOf, programEntries } from './support/package/program-tree.ts';
import { makeRpm } from './support/package/rpm.ts';
import { billOfMaterials, licenseExpression } from './support/package/sbom.ts';
import { systemEntries } from './support/package/system-tree.ts';
import { tarballOf } from './support/package/tarball.ts';

const FORMS = ['tar', 'deb', 'rpm', 'sbom'] as const;
type Form = (typeof FORMS)[number];

const { values: options } = parseArgs({
  options: {
    arch: { type: 'string', default: ARCHITECTURES.join(',') },
    form: { type: 'string', default: FORMS.join(',') },
    out: { type: 'string', default: join(checkout, 'dist') },
    version: { type: 'string', default: VERSION_OF_CHECKOUT },
  },
});

/** The words of an option, each of which must be known. */
function chosen<T extends string>(text: string, known: readonly T[]): readonly T[] {
  const words = text.split(',');
  for (const word of words)
    if (!known.some((one) => one === word))
      throw new Error(`unknown ${word}; there are: ${known.join(', ')}`);
  return known.filter((one) => words.includes(one));
}

interface Build {
  readonly architecture: Architecture;
  readonly version: string;
  readonly license: string;
  readonly seconds: number;
  readonly program: readonly PackedEntry[];
  readonly bill: string;
  readonly work: string;
  readonly out: string;
}

/** Makes one file, and answers its path. */
const makers: Readonly<Record<Form, (build: Build) => Promise<string>>> = {
  tar: async ({ architecture, version, seconds, program, out }) => {
    const path = join(out, `troupe-${version}-linux-${architecture}.tar.gz`);
    writeFileSync(path, await tarballOf(program, `troupe-${version}`, seconds));
    return path;
  },
  deb: async (build) => {
    const { architecture, version, program, work, out } = build;
    const path = join(out, `troupe_${packageVersion(version)}_${NAMES[architecture].deb}.deb`);
    await makeDeb(systemEntries(program, 'deb', version), build, join(work, `deb-${architecture}`), path);
    return path;
  },
  rpm: async (build) => {
    const { architecture, version, program, work, out } = build;
    const path = join(out, `troupe-${packageVersion(version)}-1.${NAMES[architecture].rpm}.rpm`);
    const own = join(work, `rpm-${architecture}`);
    mkdirSync(own);
    await makeRpm(systemEntries(program, 'rpm', version), build, own, path);
    return path;
  },
  sbom: async ({ architecture, version, bill, out }) => {
    const path = join(out, `troupe-${version}-linux-${architecture}.cdx.json`);
    writeFileSync(path, bill);
    return path;
  },
};

async function main(): Promise<void> {
  const [architectures, forms] = [chosen(options.arch, ARCHITECTURES), chosen(options.form, FORMS)];
  const out = resolve(options.out);
  const seconds = commitSeconds();
  if (isChanged()) console.log('files differ from the commit: these packages are not of a commit');
  mkdirSync(out, { recursive: true });
  const work = mkdtempSync(join(tmpdir(), 'troupe-package-'));
  try {
    const bundle = join(work, 'bundle');
    const sources = await bundleInto(bundle, { isShipped: true, version: options.version });
    const made: string[] = [];
    for (const architecture of architectures) {
      const components = componentsOf(architecture, sources);
      const bill = billOfMaterials(components, options.version, seconds);
      const build: Build = {
        architecture,
        version: options.version,
        license: licenseExpression(components),
        seconds,
        program: programEntries(architecture, bundle, components, bill),
        bill,
        work,
        out,
      };
      made.push(...(await Promise.all(forms.map(async (form) => await makers[form](build)))));
    }
    const sums = made.toSorted().map((path) => {
      const digest = createHash('sha256').update(readFileSync(path)).digest('hex');
      console.log(`${(statSync(path).size / 1e6).toFixed(1).padStart(6)} MB  ${path}`);
      return `${digest}  ${basename(path)}\n`;
    });
    writeFileSync(join(out, 'SHA256SUMS'), sums.join(''));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

try {
  await main();
} catch (error) {
  console.error(`package: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
