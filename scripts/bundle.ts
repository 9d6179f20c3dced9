// Bundles the daemon into dist/: one file starts in half the time and with less memory than several hundred.
// The launcher takes it while it is newer than every source; run by the set-up scripts.
import { build, type BuildOptions } from 'esbuild';
import { cpSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { lighterLibraries } from './support/lighter-libraries.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };

const shared: BuildOptions = {
  absWorkingDir: root,
  outdir: 'dist',
  bundle: true,
  platform: 'node',
  target: 'node24',
  plugins: [lighterLibraries(join(root, 'src/host/tuning/proto-file.ts'))],
  external: [
    // of grpc-js, for its channelz service alone, which we do not serve: a sixth of the bundle
    '@grpc/proto-loader',
    // read with the first CDI file in YAML, which most nodes have none of: a tenth of the bundle
    'yaml',
  ],
  // without comments the text is ASCII, which V8 keeps in half the memory; names stay, so that a stack can be read
  minifyWhitespace: true,
  minifySyntax: true,
  lineLimit: 160,
  legalComments: 'none',
  sourcemap: 'linked',
  logLevel: 'warning',
};

// compiled code of another text
rmSync(join(root, 'dist/code-cache'), { recursive: true, force: true });

await build({
  ...shared,
  // worker threads and programs of ours are files of their own
  entryPoints: {
    'kernel-worker': 'src/host/kernel-worker/kernel-worker.ts',
    worker: 'src/oci/images/store/workers/worker.ts',
    'checkpoint-reader': 'src/oci/runtime/checkpoint/restore/reader-main.ts',
  },
  format: 'esm',
  // CommonJS packages call require for Node's own modules
  banner: {
    js: "import { createRequire as troupeRequire } from 'node:module'; const require = troupeRequire(import.meta.url);",
  },
});

// small, and alone: it reads the bundle by itself
await build({
  ...shared,
  entryPoints: { launch: 'src/daemon/launch.ts' },
  format: 'cjs',
  outExtension: { '.js': '.cjs' },
  banner: { js: "const launchUrl = require('node:url').pathToFileURL(__filename).href;" },
  define: { 'import.meta.url': 'launchUrl' },
});

// last: the launcher compares its age
await build({
  ...shared,
  entryPoints: { troupe: 'src/daemon/main.ts' },
  // CommonJS: an `import` of node:http reads every export of it, and one of them loads undici (20 ms, 3 MiB)
  format: 'cjs',
  outExtension: { '.js': '.cjs' },
  // a function of what the launcher hands over: wrapped there, V8 would copy the whole text
  banner: {
    js: "(function(exports,require,module,__filename,__dirname,troupeCompiled,troupeThreadWorker){const troupeUrl=require('node:url').pathToFileURL(__filename).href;",
  },
  footer: { js: '})' },
  define: {
    'import.meta.url': 'troupeUrl',
    'import.meta.dirname': '__dirname',
    TROUPE_VERSION: JSON.stringify(version),
  },
});

// the page's files are served as they are, from beside the bundle
cpSync(join(root, 'src/introspection/page'), join(root, 'dist/page'), { recursive: true });
