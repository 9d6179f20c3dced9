// Set-up before an npm script: `node scripts/setup.js <packages|start|package|demo|test|vm>`.
//
// It makes a fresh Debian or Ubuntu ready: the npm packages (with them the pinned Node), then what the mode needs of
// Debian. Plain JavaScript without dependencies, since it runs before there are any, on whatever Node (≥ 18) and
// npm (8 … 11) the machine has. When nothing is missing it only looks at some thirty paths and a hash.
//
// Two ways to get something of Debian:
//   installed  programs which the machine runs; found on PATH (and where sudo's PATH doesn't look), so that a runc
//              from elsewhere counts, too. None of these packages starts or enables a service.
//   unpacked   parts of test images, and the servers of tests. Unpacked below the cache and never installed: busybox
//              and busybox-static conflict with each other, docker-registry and nginx would start services.
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { fetchBinaries } from './support/foreign-binaries.js';
import { installed, modes, unpacked, wished } from './support/packages.js';

const checkout = dirname(dirname(fileURLToPath(import.meta.url)));
const cache = process.env.TROUPE_CACHE || join(checkout, '.cache');

/** The oldest Node this file and the supported npm versions run on. */
const OLDEST_NODE_MAJOR = 18;
/** Seconds that apt waits for another apt to end (unattended-upgrades on a machine that has just booted). */
const APT_LOCK_SECONDS = 120;

/** Directories searched for programs: PATH, then where sudo's secure_path and a user's PATH don't look. */
const programDirectories = [
  ...(process.env.PATH ?? '').split(':').filter((directory) => directory.startsWith('/')),
  ...'/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/go/bin'.split(':'),
];

const say = (line) => process.stderr.write(`set-up: ${line}\n`);

/** What the set-up cannot mend itself; the message says what the user can do. */
class CannotGoOn extends Error {}

/** @param {string} message  @returns {never} */
function giveUp(message) {
  throw new CannotGoOn(message);
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

const isThere = ({ program, anyOf }) =>
  program === undefined
    ? anyOf.some((path) => existsSync(path))
    : programDirectories.some((directory) => isExecutable(join(directory, program)));

/** Runs a program with its output on ours; answers whether it ended with 0. */
function run(program, args, options = {}) {
  const { status, error } = spawnSync(program, args, { stdio: ['ignore', 2, 2], ...options });
  if (error !== undefined) say(`could not run ${program}: ${error.message}`);
  return status === 0;
}

// ---- root ----

function checkRoot(mode) {
  if (!modes[mode].needsRoot || process.getuid() === 0) return;
  const npmMajor = Number(/^npm\/(\d+)/.exec(process.env.npm_config_user_agent ?? '')?.[1] ?? 0);
  if (process.env.SUDO_UID !== undefined && npmMajor > 0 && npmMajor <= 8) {
    giveUp(
      `npm ${npmMajor} runs scripts as the owner of the checkout (uid ${process.getuid()}), even under sudo, and this one ` +
        `needs root. Either give the checkout to root (sudo chown -R root: ${checkout}) or take a newer npm ` +
        '(sudo npm install --global npm@10).',
    );
  }
  giveUp(`npm ${mode} makes namespaces, cgroups and mounts, so it needs root: sudo npm ${mode}`);
}

// ---- npm packages ----

/** What node_modules must have been installed from: the lockfile, on this kind of machine. */
const wantedStamp = () => {
  const lock = createHash('sha256')
    .update(readFileSync(join(checkout, 'package-lock.json')))
    .digest('hex');
  return `${lock} ${process.platform} ${process.arch}\n`;
};

function installNodePackages() {
  const stampFile = join(checkout, 'node_modules', '.troupe-setup');
  const stamp = wantedStamp();
  const pinnedNode = join(checkout, 'node_modules', `node-linux-${process.arch}`);
  if (
    existsSync(stampFile) &&
    readFileSync(stampFile, 'utf8') === stamp &&
    existsSync(join(pinnedNode, 'bin/node'))
  )
    return;

  const pinnedVersion = JSON.parse(readFileSync(join(checkout, 'package.json'), 'utf8')).optionalDependencies[
    `node-linux-${process.arch}`
  ];
  if (pinnedVersion === undefined)
    giveUp(`no Node is pinned for ${process.platform} ${process.arch}: troupe runs on Linux, x64 and arm64`);
  say('installing the npm packages of package-lock.json (some 550 MB, once)');
  const environment = { ...process.env };
  // A `nodedir` inherited from the caller's configuration would let node-gyp compile against the headers of another Node.
  environment.npm_config_nodedir = pinnedNode;
  // npm puts its own settings for the outer script there; `--global` or `--omit dev` of the caller is not meant for us.
  for (const name of [
    'npm_config_global',
    'npm_config_location',
    'npm_config_omit',
    'npm_config_production',
    'NODE_ENV',
  ]) {
    delete environment[name];
  }
  // Never `npm ci`: a lockfile written on one platform lacks the binaries of the others, and npm 11's `ci` refuses it.
  // --no-save: another npm version must not rewrite the lockfile in its own format.
  const args = [
    'install',
    '--no-save',
    '--no-audit',
    '--no-fund',
    '--include=dev',
    '--include=optional',
    '--loglevel=error',
  ];
  const npm = process.env.npm_execpath;
  // npm leaves out optional packages (the native parts of the tools are such) whose `engines` don't fit the Node it runs
  // on. Everything here will run on the pinned Node, so that is the version npm gets to see.
  environment.NODE_OPTIONS = `--require "${join(checkout, 'scripts/support/pretend-node.cjs')}"`;
  environment.TROUPE_PINNED_NODE = pinnedVersion;
  const ok =
    npm !== undefined && npm.endsWith('.js')
      ? run(process.execPath, [npm, ...args], { cwd: checkout, env: environment })
      : run('npm', args, { cwd: checkout, env: environment });
  if (!ok) giveUp('npm install failed (its reason stands above); nothing else was changed');
  // npm 8 does not link it (two optional packages name the same program), and then every script runs the wrong Node.
  const link = join(checkout, 'node_modules/.bin/node');
  rmSync(link, { force: true });
  symlinkSync(join('..', `node-linux-${process.arch}`, 'bin/node'), link);
  const missing = missingPackages();
  if (missing.length > 0)
    giveUp(
      `npm left out packages of package-lock.json (try again; is the network down?): ${missing.join(' ')}`,
    );
  writeFileSync(stampFile, stamp);
}

/**
 * What the lockfile wants on this machine and node_modules has not. npm doesn't say so when an optional package could not
 * be had; those that name a platform are the native parts, which are optional only because there is one per platform.
 */
function missingPackages() {
  const { packages } = JSON.parse(readFileSync(join(checkout, 'package-lock.json'), 'utf8'));
  const fits = (names, ours) => names === undefined || [names].flat().includes(ours);
  return Object.entries(packages)
    .filter(([path, { os, cpu, libc, optional }]) => {
      if (path === '' || (optional && cpu === undefined)) return false;
      return fits(os, process.platform) && fits(cpu, process.arch) && fits(libc, 'glibc');
    })
    .map(([path]) => path)
    .filter((path) => !existsSync(join(checkout, path)));
}

// ---- Debian packages ----

const aptEnvironment = {
  ...process.env,
  DEBIAN_FRONTEND: 'noninteractive',
  // The output of apt-cache is read below.
  LC_ALL: 'C',
  // Ubuntu's needrestart would otherwise restart services of the machine after any installation.
  NEEDRESTART_SUSPEND: '1',
};

const apt = (...args) =>
  run('apt-get', ['-q', '-o', 'Dpkg::Use-Pty=0', '-o', `DPkg::Lock::Timeout=${APT_LOCK_SECONDS}`, ...args], {
    env: aptEnvironment,
  });

const unpackedDirectory = (name) => join(cache, 'debian', name);

/** The shared libraries which a package depends on, by name of their packages, itself first. */
function withLibraryPackages(name) {
  const names = [name];
  for (const of of names) {
    const lines = execFileSync('apt-cache', ['depends', '--no-recommends', '--no-suggests', of], {
      encoding: 'utf8',
      env: aptEnvironment,
    }).split('\n');
    for (const line of lines) {
      const dependency = /^\s+(?:Pre)?Depends: ((?:lib|zlib)[^\s<>:]+)/.exec(line)?.[1];
      if (dependency !== undefined && !dependency.startsWith('libnginx-mod') && !names.includes(dependency))
        names.push(dependency);
    }
  }
  return names;
}

function unpack(name) {
  const { packages, withLibraries } = unpacked[name];
  const work = `${unpackedDirectory(name)}.${process.pid}.tmp`;
  const debs = join(work, 'debs');
  const tree = join(work, 'tree');
  mkdirSync(debs, { recursive: true });
  mkdirSync(tree);
  try {
    const all = withLibraries ? packages.flatMap(withLibraryPackages) : packages;
    say(`unpacking below ${cache}: ${all.join(' ')}`);
    // As root apt would fetch as the user _apt, who may not write here.
    const fetched = run('apt-get', ['-q', '-o', 'APT::Sandbox::User=root', 'download', ...all], {
      cwd: debs,
      env: aptEnvironment,
    });
    if (!fetched) giveUp(`apt-get download ${all.join(' ')} failed (its reason stands above)`);
    const files = execFileSync('find', [debs, '-name', '*.deb'], { encoding: 'utf8' }).trim().split('\n');
    for (const file of files) {
      if (!run('dpkg-deb', ['--extract', file, tree])) giveUp(`dpkg-deb --extract ${file} failed`);
    }
    rmSync(unpackedDirectory(name), { recursive: true, force: true });
    renameSync(tree, unpackedDirectory(name));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function installDebianPackages(mode) {
  const missing = modes[mode].install.filter((name) => !isThere(installed[name]));
  const toUnpack = modes[mode].unpack.filter((name) => !existsSync(unpackedDirectory(name)));
  if (missing.length === 0 && toUnpack.length === 0) return;

  if (!isThere({ program: 'apt-get' })) {
    giveUp(
      `this machine has no apt-get; install these yourself, then try again: ${[...missing, ...toUnpack].join(' ')}`,
    );
  }
  if (missing.length > 0) say(`installing Debian packages: ${missing.join(' ')}`);
  if (toUnpack.length > 0)
    say(`unpacking parts of Debian packages, not installing them: ${toUnpack.join(' ')}`);
  // A single unreachable third-party list makes `update` fail while the packages themselves can be had.
  if (!apt('update')) say('apt-get update failed for some list; trying with what there is');
  if (missing.length > 0 && !apt('install', '--yes', '--no-install-recommends', ...missing)) {
    giveUp(`apt-get install ${missing.join(' ')} failed (its reason stands above)`);
  }
  for (const name of toUnpack) unpack(name);
}

/** After the others, whose installation has brought apt's lists up to date. */
function installWished(mode) {
  for (const name of modes[mode].wish.filter((one) => !isThere(wished[one]))) {
    const isKnown =
      isThere({ program: 'apt-cache' }) &&
      spawnSync('apt-cache', ['show', '--quiet', name], { stdio: 'ignore' }).status === 0;
    if (!isKnown) say(`${name} cannot be had here; the tests that need it are skipped`);
    else if (!apt('install', '--yes', '--no-install-recommends', name))
      say(`${name} could not be installed (its reason stands above); the tests that need it are skipped`);
  }
}

function main() {
  const mode = process.argv[2] ?? 'packages';
  if (!Object.hasOwn(modes, mode))
    giveUp(`unknown mode "${mode}"; there are: ${Object.keys(modes).join(', ')}`);
  if (process.platform !== 'linux') giveUp(`troupe runs on Linux; this is ${process.platform}`);
  if (Number(process.versions.node.split('.')[0]) < OLDEST_NODE_MAJOR) {
    giveUp(
      `Node ${process.versions.node} is too old for the set-up; it needs ${OLDEST_NODE_MAJOR} or later (the rest brings its own)`,
    );
  }
  checkRoot(mode);
  installNodePackages();
  installDebianPackages(mode);
  installWished(mode);
  if (mode === 'package' || mode === 'test') fetchForeign();
  if (mode !== 'packages') bundle();
}

/** Without the network the packages of this machine's architecture can still be made. */
function fetchForeign() {
  try {
    fetchBinaries(checkout, join(cache, 'npm'), say);
  } catch (error) {
    say(
      `${error.message}; packages can be made for this architecture only: npm run package -- --arch ${process.arch}`,
    );
  }
}

/** The newest change below a directory, ms. */
function newestChange(directory) {
  let newest = 0;
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    newest = Math.max(newest, statSync(path).mtimeMs, entry.isDirectory() ? newestChange(path) : 0);
  }
  return newest;
}

/** One file starts in half the time; the launcher runs the sources where the bundle is older than they are. */
function bundle() {
  const made = join(checkout, 'dist/troupe.cjs');
  const changed = Math.max(
    newestChange(join(checkout, 'src')),
    statSync(join(checkout, 'package.json')).mtimeMs,
  );
  if (existsSync(made) && statSync(made).mtimeMs > changed) return;
  if (!run(join(checkout, 'node_modules/.bin/node'), ['scripts/bundle.ts'], { cwd: checkout })) {
    say(
      'the bundle could not be made (its reason stands above); troupe runs from its sources, which starts slower',
    );
  }
}

try {
  main();
} catch (error) {
  if (!(error instanceof CannotGoOn)) throw error;
  say(error.message);
  process.exitCode = 1;
}
