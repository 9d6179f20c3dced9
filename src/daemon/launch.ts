/**
 * Starts the bundle with the code that V8 compiled in earlier runs. V8 compiles a function when it is first called,
 * which took a fifth of a start's time. Node's own cache (NODE_COMPILE_CACHE) is written before any function has run
 * and has none of them; this one is written later, and each run adds to it.
 *
 * The cache is optional: one that is missing, truncated, or of another bundle, V8 or set of flags is not used.
 */
import {
  closeSync,
  fstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Script, constants } from 'node:vm';
import { crc32 } from 'node:zlib';
import { startThreadWorker } from '../host/kernel-thread/thread-worker.ts';
import type { ThreadWorker } from '../host/kernel-thread/thread-worker.ts';
import { openProgramFiles } from '../host/program/program-files.ts';
import type { ProgramFiles } from '../host/program/program-files.ts';
import { launchLimits } from './bounds.ts';
import { asksForDaemon } from './commands/global-options.ts';
import { onDumpSignal } from './dumps/dump-signals.ts';

/** The file's first line, as JSON; V8's data follows. */
interface Header {
  /** Digest, size and time of the bundle: V8 itself compares only the length, and images of hosts have no times. */
  readonly bundle: string;
  /** Checksum of V8's data. */
  readonly crc32: number;
  /** The kinds of runs whose functions are in it. */
  readonly runs: readonly string[];
}

/** Digest of the bundle's text, set by the bundler; undefined where a test bundles the launcher alone. */
declare const TROUPE_BUNDLE: string | undefined;

const here = dirname(fileURLToPath(import.meta.url));
const path = join(here, 'troupe.cjs');
const isDaemon = asksForDaemon(process.argv.slice(2));
// commands and the daemon use different code
const cachePath = join(here, 'code-cache', isDaemon ? 'daemon.bin' : 'commands.bin');

start();

function start(): void {
  // the program, which makes dumps, is not even read: until then these signals must not end the process
  if (isDaemon) onDumpSignal(() => undefined);
  // together: a package that puts other files in their place is at work for some milliseconds
  const opened = openSync(path, 'r');
  const files = openProgramFiles(here);
  const threadWorker = isDaemon ? earlyWorker(files) : undefined;
  const { size, mtimeMs, dev, ino } = fstatSync(opened);
  const digest = typeof TROUPE_BUNDLE === 'string' ? TROUPE_BUNDLE : '';
  const bundle = `${digest} ${size} ${mtimeMs}`;
  const cache = readCache(bundle);
  // latin1 is enough: the bundle without comments is ASCII. Its text is a function (scripts/bundle.ts)
  const source = readFileSync(opened, 'latin1');
  closeSync(opened);
  const script = new Script(source, {
    filename: path,
    importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
    ...(cache === undefined ? {} : { cachedData: cache.data }),
  });
  const runs = new Set(script.cachedDataRejected === false ? cache?.header.runs : []);
  const keep = (run: string): void => {
    if (runs.has(run) || !isStill({ dev, ino })) return;
    runs.add(run);
    writeCache(bundle, [...runs], script.createCachedData());
  };
  const made = { exports: {} };
  const run = script.runInThisContext() as (...given: readonly unknown[]) => void;
  run(made.exports, createRequire(path), made, path, here, keep, threadWorker, files);
}

/** Whether the bundle of this inode lies there. The cache of one that has replaced it must not be overwritten. */
function isStill({ dev, ino }: { readonly dev: number; readonly ino: number }): boolean {
  const found = statSync(path, { throwIfNoEntry: false });
  return found?.dev === dev && found.ino === ino;
}

/**
 * The kernel thread's worker, which takes as long to start as the bundle takes to be read: the start needs both.
 * Undefined when it can't be started: kernel-thread.ts tries again, and reports the reason.
 */
function earlyWorker(files: ProgramFiles): ThreadWorker | undefined {
  try {
    const started = startThreadWorker(files);
    // kernel-thread.ts listens, too, from its first use on; a wrong command line ends the process before
    started.worker.on('error', () => undefined).unref();
    return started;
  } catch {
    return undefined;
  }
}

function readCache(bundle: string): { header: Header; data: Buffer } | undefined {
  try {
    const found = statSync(cachePath);
    // anything but a regular file might never end; V8's data of this bundle has some 2 MB
    if (!found.isFile() || found.size > launchLimits.cacheBytes) return undefined;
    const file = readFileSync(cachePath);
    const end = file.subarray(0, launchLimits.cacheHeaderBytes).indexOf('\n');
    const header = JSON.parse(file.toString('latin1', 0, end)) as Header;
    const data = file.subarray(end + 1);
    return header.bundle === bundle && header.crc32 === crc32(data) ? { header, data } : undefined;
  } catch {
    // no cache, or an incomplete one
    return undefined;
  }
}

/** A package has a link in its place, since nothing may be written to /usr, and the target may not exist yet. */
function cacheDirectory(): string {
  const directory = dirname(cachePath);
  try {
    return resolve(here, readlinkSync(directory));
  } catch {
    return directory;
  }
}

function writeCache(bundle: string, runs: readonly string[], data: Buffer): void {
  try {
    mkdirSync(cacheDirectory(), { recursive: true, mode: 0o700 });
    const header: Header = { bundle, crc32: crc32(data), runs };
    const fresh = `${cachePath}.${process.pid}`;
    // never write to an existing file: opening a FIFO would wait for a reader
    rmSync(fresh, { force: true });
    writeFileSync(fresh, Buffer.concat([Buffer.from(`${JSON.stringify(header)}\n`, 'latin1'), data]), {
      mode: 0o600,
      flag: 'wx',
    });
    renameSync(fresh, cachePath);
  } catch {
    // in a read-only directory each start compiles again
  }
}
