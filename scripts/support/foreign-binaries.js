// Node and koffi for the architectures of the packages that are not this machine's. npm installs only what fits the
// machine, so these are fetched by themselves and compared with the checksums of package-lock.json.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import process from 'node:process';

const ARCHITECTURES = ['x64', 'arm64'];
/** ms to fetch one of them: 60 MB. */
const FETCH_MS = 10 * 60_000;

/** Without the network npm would try for minutes. */
const OPTIONS = ['--json', '--ignore-scripts', '--fetch-retries=1', '--fetch-retry-mintimeout=1000'];

const namesOf = (architecture) => [`node-linux-${architecture}`, `@koromix/koffi-linux-${architecture}`];

/**
 * Puts each into a directory of its name below `target`, unless it is there in the version of the lockfile.
 * @param {string} checkout  @param {string} target  @param {(line: string) => void} say
 */
export function fetchBinaries(checkout, target, say) {
  const { packages } = JSON.parse(readFileSync(join(checkout, 'package-lock.json'), 'utf8'));
  const foreign = ARCHITECTURES.filter((architecture) => architecture !== process.arch).flatMap(namesOf);
  for (const name of foreign) {
    const { version, integrity } = packages[`node_modules/${name}`];
    if (versionAt(join(target, name)) === version) continue;
    say(`fetching ${name} ${version}`);
    fetchOne(`${name}@${version}`, integrity, join(target, name));
  }
}

function versionAt(directory) {
  const file = join(directory, 'package.json');
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).version : undefined;
}

function fetchOne(what, integrity, target) {
  mkdirSync(dirname(target), { recursive: true });
  const work = mkdtempSync(`${target}.`);
  try {
    // npm itself checks it only where it installs
    const [{ filename }] = JSON.parse(
      execFileSync('npm', ['pack', ...OPTIONS, '--pack-destination', work, what], {
        encoding: 'utf8',
        timeout: FETCH_MS,
        stdio: ['ignore', 'pipe', 'inherit'],
        cwd: work,
      }),
    );
    // npm 8 says the name with the scope's slash
    const archive = join(work, filename.replace('@', '').replace('/', '-'));
    const digest = `sha512-${createHash('sha512').update(readFileSync(archive)).digest('base64')}`;
    if (digest !== integrity) throw new Error(`${what}: ${digest}, and package-lock.json says ${integrity}`);
    const tree = join(work, 'tree');
    mkdirSync(tree);
    const unpack = ['--extract', '--file', archive, '--strip-components=1', '--no-same-owner', '-C', tree];
    execFileSync('tar', unpack, { stdio: ['ignore', 'ignore', 'inherit'] });
    rmSync(target, { recursive: true, force: true });
    renameSync(tree, target);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
