// The daemon as one file, with its workers, its launcher and the page beside it.
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build, type BuildOptions, type Plugin } from 'esbuild';
import { checkout } from './checkout.ts';
import { lighterLibraries } from './lighter-libraries.ts';

export interface BundleOptions {
  /** For a package: without source maps, which nothing of the daemon reads and which are three times its size. */
  readonly isShipped: boolean;
  /** In place of the version in package.json. */
  readonly version?: string;
  /** For a program that a test makes: changes to the sources. */
  readonly plugins?: readonly Plugin[];
}

const versionOf = (): string =>
  (JSON.parse(readFileSync(join(checkout, 'package.json'), 'utf8')) as { version: string }).version;

const optionsOf = (outdir: string, { isShipped, plugins = [] }: BundleOptions): BuildOptions => ({
  absWorkingDir: checkout,
  outdir,
  bundle: true,
  platform: 'node',
  target: 'node24',
  plugins: [...plugins, lighterLibraries(join(checkout, 'src/host/tuning/proto-file.ts'))],
  external: [
    // of grpc-js, for its channelz service alone, which we do not serve: a sixth of the bundle
    '@grpc/proto-loader',
  ],
  // without comments the text is ASCII, which V8 keeps in half the memory; names stay, so that a stack can be read
  minifyWhitespace: true,
  minifySyntax: true,
  lineLimit: 160,
  legalComments: 'none',
  ...(isShipped ? {} : { sourcemap: 'linked' as const }),
  logLevel: 'warning',
  metafile: true,
});

/** Worker threads and programs of ours: files of their own, which src/host/program/program-files.ts runs. */
const workersOf = (shared: BuildOptions): BuildOptions => ({
  ...shared,
  entryPoints: {
    'kernel-worker': 'src/host/kernel-worker/kernel-worker.ts',
    worker: 'src/oci/images/store/workers/worker.ts',
    'checkpoint-reader': 'src/oci/runtime/checkpoint/restore/reader-main.ts',
  },
  format: 'cjs',
  // version 0.1.0, which lives on for a moment when a package has put these files in the place of its own, runs them
  // by their paths, also as ES modules, which have no `require`
  banner: {
    js: "(function(module){const require=globalThis.require??process.getBuiltinModule('node:module').createRequire(process.argv[1]);",
  },
  footer: { js: '})({exports:{}});' },
  // names sources, which are not there
  define: { 'import.meta.url': '"file:///"' },
});

/** Read with the first CDI file in YAML, which most nodes have none of: a tenth of the bundle. */
const yamlOf = (shared: BuildOptions): BuildOptions => ({
  ...shared,
  entryPoints: { yaml: 'yaml' },
  plugins: [],
  format: 'cjs',
  // as scripts/support/lighter-libraries.ts calls it
  banner: { js: '(function(exports,module,require){' },
  footer: { js: '})' },
});

/**
 * Writes the bundle into a directory.
 * @returns the source files that are in it, relative to the checkout, sorted
 */
export async function bundleInto(outdir: string, options: BundleOptions): Promise<readonly string[]> {
  const shared = optionsOf(outdir, options);
  mkdirSync(outdir, { recursive: true });
  // compiled code of another text
  rmSync(join(outdir, 'code-cache'), { recursive: true, force: true });

  const workers = await build(workersOf(shared));
  const yaml = await build(yamlOf(shared));

  const main = await build({
    ...shared,
    entryPoints: { troupe: 'src/daemon/main.ts' },
    write: false,
    // CommonJS: an `import` of node:http reads every export of it, and one of them loads undici (20 ms, 3 MiB)
    format: 'cjs',
    outExtension: { '.js': '.cjs' },
    // a function of what the launcher hands over: wrapped there, V8 would copy the whole text
    banner: {
      js: "(function(exports,require,module,__filename,__dirname,troupeCompiled,troupeThreadWorker,troupeFiles){const troupeUrl=require('node:url').pathToFileURL(__filename).href;",
    },
    footer: { js: '})' },
    define: {
      'import.meta.url': 'troupeUrl',
      'import.meta.dirname': '__dirname',
      TROUPE_VERSION: JSON.stringify(options.version ?? versionOf()),
    },
  });

  // small, and alone: it reads the bundle by itself
  const launch = await build({
    ...shared,
    entryPoints: { launch: 'src/daemon/launch.ts' },
    format: 'cjs',
    outExtension: { '.js': '.cjs' },
    banner: { js: "const launchUrl = require('node:url').pathToFileURL(__filename).href;" },
    define: { 'import.meta.url': 'launchUrl', TROUPE_BUNDLE: JSON.stringify(digestOf(main.outputFiles)) },
  });

  // one file, which the launcher can open
  writeFileSync(join(outdir, 'page.json'), JSON.stringify(pageFiles()));
  // last: bin/troupe compares its age
  for (const { path, contents } of main.outputFiles) writeFileSync(path, contents);
  const inputs = [workers, yaml, main, launch].flatMap(({ metafile }) => Object.keys(metafile?.inputs ?? {}));
  return [...new Set(inputs)].toSorted();
}

/** The page's files, which are served as they are, by their names. */
function pageFiles(): Readonly<Record<string, string>> {
  const directory = join(checkout, 'src/introspection/page');
  const names = readdirSync(directory).toSorted();
  return Object.fromEntries(names.map((name) => [name, readFileSync(join(directory, name), 'utf8')]));
}

/** Of the bundle's text, by which the launcher knows code that V8 compiled from another one. */
function digestOf(files: readonly { readonly path: string; readonly contents: Uint8Array }[]): string {
  const text = files.find(({ path }) => path.endsWith('.cjs'));
  if (text === undefined) throw new Error('esbuild made no bundle');
  return createHash('sha256').update(text.contents).digest('hex').slice(0, 16);
}
