// OCI runtimes that no Debian 12 has, each made once below the cache by its own language's tools or from Debian's
// unstable packages.
import { existsSync } from 'node:fs';
import { mkdir, readFile, readdir, realpath, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { BUILD_MS } from '../patience.ts';
import { runOrThrow } from '../run.ts';
import { cached, cacheDirectory } from './cache.ts';

/** Has crun's newest release, and WasmEdge. */
const CRUN_RELEASE = 'sid';
/** Another value makes the tree anew. */
const CRUN_RECIPE = 1;
/** Whose source of crun is built with WasmEdge, which no package of crun has. */
const CRUN_SOURCE_RELEASE = 'trixie';
const CRUN_WASM_RECIPE = 1;
/** What crun's configure and make need, as packages of `CRUN_RELEASE`. */
const CRUN_BUILD = [
  ...['gcc', 'libc6-dev', 'make', 'pkgconf', 'python3', 'perl'],
  ...['bash', 'coreutils', 'dash', 'diffutils', 'findutils', 'gawk', 'grep', 'sed'],
  ...['libcap-dev', 'libseccomp-dev', 'libsystemd-dev', 'libwasmedge-dev', 'libyajl-dev'],
] as const;
const YOUKI_VERSION = '0.7.0';

const triplet = process.arch === 'x64' ? 'x86_64-linux-gnu' : 'aarch64-linux-gnu';
const loader = process.arch === 'x64' ? 'ld-linux-x86-64.so.2' : 'ld-linux-aarch64.so.1';

const CRUN_TREE = `crun-${CRUN_RELEASE}-${CRUN_RECIPE}`;

/** Where Debian's newest crun is once it is made: for tests that make nothing that takes minutes. */
export const crunNewestPath = (): string => join(cacheDirectory, keyOf(CRUN_TREE), 'usr/bin/crun');

/** Path of Debian's newest crun. */
export async function crunNewest(): Promise<string> {
  return await inOwnTree(CRUN_TREE, async (tree) => {
    await unpackDebian(tree, ['crun', 'patchelf']);
  });
}

/** Path of a crun that runs WebAssembly modules by WasmEdge, built from Debian's source. */
export async function crunWithWasm(): Promise<string> {
  return await inOwnTree(`crun-wasm-${CRUN_SOURCE_RELEASE}-${CRUN_WASM_RECIPE}`, async (tree, work) => {
    await unpackDebian(tree, ['crun', 'libwasmedge0', 'libyajl2', 'patchelf']);
    // LLVM, which WasmEdge needs, has a search path of its own: `lib` beside its directory
    await symlink(triplet, join(tree, 'usr/lib/lib'));
    const build = join(work, 'build');
    await unpackDebian(build, CRUN_BUILD);
    const source = join(build, 'crun');
    await mkdir(source);
    await runOrThrow(['tar', '-xf', await crunSource(work, build), '--strip-components=1', '-C', source]);
    const inBuild = ['chroot', build, '/usr/bin/env', '-i', '-C', '/crun', 'PATH=/usr/bin:/usr/sbin'];
    await runOrThrow([...inBuild, 'bash', './configure', '--with-wasmedge'], { timeoutMs: BUILD_MS });
    await runOrThrow([...inBuild, 'make', '--jobs=2'], { timeoutMs: BUILD_MS });
    await rename(join(source, 'crun'), join(tree, 'usr/bin/crun'));
    await rm(build, { recursive: true });
  });
}

/**
 * Downloads the archive of crun's source below `work`; returns its path.
 * @param build a tree that mmdebstrap has made
 */
async function crunSource(work: string, build: string): Promise<string> {
  const apt = join(work, 'apt');
  await mkdir(join(apt, 'lists/partial'), { recursive: true });
  await mkdir(join(apt, 'cache/archives/partial'), { recursive: true });
  // mmdebstrap has written which mirror it took
  const packages = await readFile(join(build, 'etc/apt/sources.list'), 'utf8');
  const sources = packages.replaceAll(/^deb\b/gmu, 'deb-src').replaceAll(CRUN_RELEASE, CRUN_SOURCE_RELEASE);
  await writeFile(join(apt, 'sources.list'), sources);
  const aptGet = [
    'apt-get',
    '--quiet',
    ...['-o', `Dir::Etc::sourcelist=${join(apt, 'sources.list')}`, '-o', 'Dir::Etc::sourceparts=-'],
    ...['-o', `Dir::State::lists=${join(apt, 'lists')}`, '-o', `Dir::Cache=${join(apt, 'cache')}`],
    ...['-o', 'Acquire::Check-Valid-Until=false', '-o', 'APT::Sandbox::User=root'],
  ];
  await runOrThrow([...aptGet, 'update'], { timeoutMs: BUILD_MS });
  await runOrThrow([...aptGet, 'source', '--tar-only', '--download-only', 'crun'], {
    cwd: apt,
    timeoutMs: BUILD_MS,
  });
  const archive = (await readdir(apt)).find((name) => /^crun_.*\.orig\.tar\.\w+$/u.test(name));
  if (archive === undefined) throw new Error("apt-get has not left an archive of crun's source");
  return join(apt, archive);
}

const keyOf = (name: string): string => `runtimes/${name}-${process.arch}`;

/**
 * Path of the crun in a tree that `fill` makes, with patchelf in it. It runs with the loader and the libraries of that
 * tree, whose paths are written into it: it executes itself anew, which a loader on its command line would not
 * survive.
 */
async function inOwnTree(name: string, fill: (tree: string, work: string) => Promise<void>): Promise<string> {
  const key = keyOf(name);
  await mkdir(cacheDirectory, { recursive: true });
  // the loader's path cannot be relative, and the cache may be reached by a link that goes
  const target = join(await realpath(cacheDirectory), key);
  const directory = await cached(key, async (work) => {
    process.stderr.write(`making ${name} (once, some minutes)\n`);
    const tree = join(work, 'tree');
    await fill(tree, work);
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
