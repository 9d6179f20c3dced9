// OCI runtimes that no Debian 12 has, each made once below the cache by its own language's tools or from Debian's
// unstable packages.
import { existsSync } from 'node:fs';
import { mkdir, realpath, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { BUILD_MS } from '../patience.ts';
import { runOrThrow } from '../run.ts';
import { cached, cacheDirectory } from './cache.ts';

/** crun's newest release is packaged there, with the library for WebAssembly that it loads when it finds it. */
const CRUN_RELEASE = 'sid';
/** Another value makes the tree anew. */
const CRUN_RECIPE = 1;
const YOUKI_VERSION = '0.7.0';

const triplet = process.arch === 'x64' ? 'x86_64-linux-gnu' : 'aarch64-linux-gnu';
const loader = process.arch === 'x64' ? 'ld-linux-x86-64.so.2' : 'ld-linux-aarch64.so.1';

/**
 * Path of Debian's newest crun, with WasmEdge. It runs with the loader and the libraries of its own tree, whose paths
 * are written into it: it executes itself anew, which a loader on its command line would not survive.
 */
export async function crunNewest(): Promise<string> {
  const key = `runtimes/crun-${CRUN_RELEASE}-${CRUN_RECIPE}-${process.arch}`;
  await mkdir(cacheDirectory, { recursive: true });
  // the loader's path cannot be relative, and the cache may be reached by a link that goes
  const target = join(await realpath(cacheDirectory), key);
  const directory = await cached(key, async (work) => {
    process.stderr.write(`unpacking crun and its libraries of Debian ${CRUN_RELEASE} (once)\n`);
    const tree = join(work, 'tree');
    await unpackDebian(tree, ['crun', 'libwasmedge0', 'patchelf']);
    const libraries = join(tree, 'usr/lib', triplet);
    await runOrThrow([
      join(libraries, loader),
      '--library-path',
      libraries,
      join(tree, 'usr/bin/patchelf'),
      '--set-interpreter',
      join(target, 'usr/lib', triplet, loader),
      // for the libraries of libraries, too, which a RUNPATH is not
      '--force-rpath',
      '--set-rpath',
      join(target, 'usr/lib', triplet),
      join(tree, 'usr/bin/crun'),
    ]);
    await rename(join(tree, 'usr'), join(work, 'usr'));
    await rm(tree, { recursive: true, force: true });
  });
  return join(directory, 'usr/bin/crun');
}

/** Unpacks packages with all that they depend on; installs nothing. */
async function unpackDebian(target: string, packages: readonly string[]): Promise<void> {
  const programs = join(cacheDirectory, 'debian/mmdebstrap/usr/bin');
  if (!existsSync(programs))
    throw new Error(`${programs} is missing: run "sudo node scripts/setup.js vm" first`);
  await runOrThrow(
    [
      'perl',
      join(programs, 'mmdebstrap'),
      '--mode=root',
      '--variant=extract',
      `--include=${packages.join(',')}`,
      // a mirror that is some days behind is good enough
      '--aptopt=Acquire::Check-Valid-Until "false"',
      '--quiet',
      CRUN_RELEASE,
      target,
    ],
    { timeoutMs: BUILD_MS, env: { PATH: `${process.env['PATH'] ?? ''}:${programs}` } },
  );
}

/** Path of youki, built by cargo from its published crate; throws without cargo. */
export async function youki(): Promise<string> {
  const directory = await cached(`tools/youki/${YOUKI_VERSION}-${process.arch}`, async (work) => {
    const cargo = ['/root/.cargo/bin', join(homedir(), '.cargo/bin'), '/usr/bin', '/usr/local/bin']
      .map((place) => join(place, 'cargo'))
      .find((path) => existsSync(path));
    if (cargo === undefined) throw new Error('no cargo on this machine: youki needs Rust 1.85 or later');
    process.stderr.write(`building youki ${YOUKI_VERSION} from its crate (once, some minutes)\n`);
    const build = join(work, 'build');
    await runOrThrow(
      [
        cargo,
        'install',
        `youki@${YOUKI_VERSION}`,
        '--locked',
        '--no-default-features',
        '--features=systemd,v1,v2,seccomp',
        `--root=${work}`,
      ],
      {
        timeoutMs: BUILD_MS,
        env: { PATH: `${join(cargo, '..')}:${process.env['PATH'] ?? ''}`, CARGO_TARGET_DIR: build },
      },
    );
    await rm(build, { recursive: true, force: true });
  });
  return join(directory, 'bin/youki');
}
