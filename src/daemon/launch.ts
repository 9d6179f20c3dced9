/**
 * Starts the bundle with what V8 compiled of it in earlier runs. V8 compiles a function when it is called first, which
 * took a fifth of a start's time; Node's own cache (NODE_COMPILE_CACHE) is made before anything has run and holds none
 * of them. This one is made when a run knows what it needs, and each adds to the one before.
 *
 * Nothing of it is needed: a cache that is missing, cut short, of another bundle, another V8 or other flags is not used.
 */
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Script, constants } from 'node:vm';
import { crc32 } from 'node:zlib';
import { launchLimits } from './bounds.ts';

/** What the file begins with: one line of JSON, then V8's data. */
interface Header {
  /** Of the bundle: V8 itself compares no more than its length. */
  readonly bundle: string;
  /** Of V8's data. */
  readonly crc32: number;
  /** The kinds of runs whose functions are in it. */
  readonly runs: readonly string[];
}

const here = dirname(fileURLToPath(import.meta.url));
const path = join(here, 'troupe.cjs');
const command = process.argv[2] ?? '';
// what a command compiles is not what the daemon needs
const cachePath = join(
  here,
  'code-cache',
  command === 'serve' || command === 'start' ? 'daemon.bin' : 'commands.bin',
);

start();

function start(): void {
  const { size, mtimeMs } = statSync(path);
  const bundle = `${size} ${mtimeMs}`;
  const cache = readCache(bundle);
  // ASCII: without comments there is no other character in it
  const source = `(function(exports,require,module,__filename,__dirname,troupeCompiled){${readFileSync(path, 'latin1')}\n})`;
  const script = new Script(source, {
    filename: path,
    importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
    ...(cache === undefined ? {} : { cachedData: cache.data }),
  });
  const runs = new Set(script.cachedDataRejected === false ? cache?.header.runs : []);
  const keep = (run: string): void => {
    if (runs.has(run)) return;
    runs.add(run);
    writeCache(bundle, [...runs], script.createCachedData());
  };
  const made = { exports: {} };
  const run = script.runInThisContext() as (...given: readonly unknown[]) => void;
  run(made.exports, createRequire(path), made, path, here, keep);
}

function readCache(bundle: string): { header: Header; data: Buffer } | undefined {
  try {
    const found = statSync(cachePath);
    // what is no file might never end; V8's data of this bundle has some 2 MB
    if (!found.isFile() || found.size > launchLimits.cacheBytes) return undefined;
    const file = readFileSync(cachePath);
    const end = file.subarray(0, launchLimits.cacheHeaderBytes).indexOf('\n');
    const header = JSON.parse(file.toString('latin1', 0, end)) as Header;
    const data = file.subarray(end + 1);
    return header.bundle === bundle && header.crc32 === crc32(data) ? { header, data } : undefined;
  } catch {
    // none, or not a whole one
    return undefined;
  }
}

function writeCache(bundle: string, runs: readonly string[], data: Buffer): void {
  try {
    mkdirSync(dirname(cachePath), { recursive: true, mode: 0o700 });
    const header: Header = { bundle, crc32: crc32(data), runs };
    const fresh = `${cachePath}.${process.pid}`;
    // never into what is there: the open of a FIFO would wait for a reader
    rmSync(fresh, { force: true });
    writeFileSync(fresh, Buffer.concat([Buffer.from(`${JSON.stringify(header)}\n`, 'latin1'), data]), {
      mode: 0o600,
      flag: 'wx',
    });
    renameSync(fresh, cachePath);
  } catch {
    // where the program's directory is read-only, each start compiles anew
  }
}
