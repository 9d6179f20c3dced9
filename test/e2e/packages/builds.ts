// The packages that the tests install: built from this checkout, once more from a copy elsewhere, and as a later
// version.
import { cp, mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Architecture, binaryPackages, NAMES } from '../../../scripts/support/package/architectures.ts';
import { run, runOrThrow } from '../../support/run.ts';
import { cacheDirectory, checkout } from '../../support/tools/cache.ts';

/** The version that the packages are upgraded to. */
export const NEXT_VERSION = '99.0.0';
/** Of the checkout, what `npm run package` reads, npm's packages apart. */
const PACKED = ['bin', 'deploy', 'docs', 'scripts', 'src', 'package.json', 'package-lock.json'];

export const own: Architecture = process.arch === 'arm64' ? 'arm64' : 'x64';
export const other: Architecture = own === 'x64' ? 'arm64' : 'x64';
/** Why there are no packages of the other architecture; empty where there are. */
export const noOther = binaryPackages(other).every((name) =>
  existsSync(join(cacheDirectory, 'npm', name, 'package.json')),
)
  ? ''
  : `needs the binaries of ${other}: node scripts/setup.js test`;
/** All that can be packed here. */
export const ARCHITECTURES: readonly Architecture[] = noOther === '' ? [own, other] : [own];

/** Ends of the names of an architecture's packages. */
export const endsOf = (
  architecture: Architecture,
): Readonly<Record<'deb' | 'rpm' | 'tar' | 'sbom', string>> => ({
  deb: `_${NAMES[architecture].deb}.deb`,
  rpm: `.${NAMES[architecture].rpm}.rpm`,
  tar: `-linux-${architecture}.tar.gz`,
  sbom: `-linux-${architecture}.cdx.json`,
});

/** A directory of its own below the cache, so that npm's packages can be linked into it. */
export async function workDirectory(): Promise<string> {
  await mkdir(cacheDirectory, { recursive: true });
  return await mkdtemp(join(cacheDirectory, 'packages-'));
}

interface How {
  /** As a shell takes it. */
  readonly umask: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Runs scripts/package.ts of a checkout by the pinned Node, by default for this machine's architecture. */
export async function build(
  from: string,
  args: readonly string[],
  { umask, env }: How,
  architectures: readonly Architecture[] = [own],
): Promise<void> {
  const script = `umask ${umask}; exec "$@"`;
  const wanted = ['--arch', architectures.join(','), ...args];
  await runOrThrow(['/bin/sh', '-c', script, 'sh', process.execPath, 'scripts/package.ts', ...wanted], {
    cwd: from,
    env,
  });
}

/** Its loopback is down, and there is no route: whatever is fetched fails. */
const WITHOUT_NETWORK = `
test "$(wc -l </proc/self/net/route)" -le 1 || { echo 'there is a route' >&2; exit 9; }
umask "$1"; shift; exec "$@"
`;

/**
 * Runs `npm run package` with its set-up, where there is no network at all. Needs root.
 * @param home an empty directory for what npm writes
 * @returns what it said
 */
export async function buildOffline(
  from: string,
  args: readonly string[],
  { umask, env }: How,
  home: string,
): Promise<string> {
  const npm = ['npm', 'run', 'package', '--', '--arch', ARCHITECTURES.join(','), ...args];
  const { code, stdout, stderr } = await run(
    ['unshare', '--net', '/bin/sh', '-c', WITHOUT_NETWORK, 'sh', umask, ...npm],
    { cwd: from, env: { ...env, TROUPE_CACHE: cacheDirectory, HOME: home, npm_config_cache: home } },
  );
  if (code !== 0) throw new Error(`npm run package without a network ended with ${code}: ${stdout}${stderr}`);
  return stdout + stderr;
}

/** A copy of the checkout without git; npm's packages are hard links where the file system has both. */
export async function copyOfCheckout(target: string): Promise<void> {
  await mkdir(target);
  const documents = (await readdir(checkout)).filter((name) => name.endsWith('.md') || name === 'LICENSE');
  for (const name of [...PACKED, ...documents])
    await cp(join(checkout, name), join(target, name), { recursive: true });
  const modules = [join(checkout, 'node_modules'), join(target, 'node_modules')];
  await runOrThrow(['cp', '--recursive', '--preserve=all', '--link', ...modules]).catch(async () => {
    await rm(modules[1] ?? '', { recursive: true, force: true });
    await runOrThrow(['cp', '--recursive', '--preserve=all', ...modules]);
  });
}

/** The one file in a directory whose name ends so. */
export async function fileIn(directory: string, end: string): Promise<string> {
  const found = (await readdir(directory)).filter((name) => name.endsWith(end));
  if (found.length !== 1) throw new Error(`${directory}: ${found.length} files end with ${end}`);
  return found[0] ?? '';
}

/** The time of all that is packed, as SOURCE_DATE_EPOCH has it. */
export async function secondsOf(directory: string): Promise<string> {
  const text = await readFile(join(directory, await fileIn(directory, endsOf(own).sbom)), 'utf8');
  const { metadata } = JSON.parse(text) as { metadata: { timestamp: string } };
  return String(Date.parse(metadata.timestamp) / 1000);
}

/** Without git, as in a guest, any time will do. */
export const timeOfFirst = (): Readonly<Record<string, string | undefined>> =>
  existsSync(join(checkout, '.git')) ? { SOURCE_DATE_EPOCH: undefined } : { SOURCE_DATE_EPOCH: '1700000000' };
