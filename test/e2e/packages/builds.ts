// The packages that the tests install: built from this checkout, once more from a copy elsewhere, and as a later
// version.
import { cp, mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { runOrThrow } from '../../support/run.ts';
import { cacheDirectory, checkout } from '../../support/tools/cache.ts';

/** The version that the packages are upgraded to. */
export const NEXT_VERSION = '99.0.0';
/** Of the checkout, what `npm run package` reads, npm's packages apart. */
const PACKED = ['bin', 'deploy', 'docs', 'scripts', 'src', 'package.json', 'package-lock.json'];

/** A directory of its own below the cache, so that npm's packages can be linked into it. */
export async function workDirectory(): Promise<string> {
  await mkdir(cacheDirectory, { recursive: true });
  return await mkdtemp(join(cacheDirectory, 'packages-'));
}

/** Runs scripts/package.ts of a checkout by the pinned Node. @param umask as a shell takes it */
export async function build(
  from: string,
  args: readonly string[],
  { umask, env }: { readonly umask: string; readonly env: Readonly<Record<string, string | undefined>> },
): Promise<void> {
  const script = `umask ${umask}; exec "$@"`;
  await runOrThrow(
    ['/bin/sh', '-c', script, 'sh', process.execPath, 'scripts/package.ts', '--arch', process.arch, ...args],
    { cwd: from, env },
  );
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
  const text = await readFile(join(directory, await fileIn(directory, '.cdx.json')), 'utf8');
  const { metadata } = JSON.parse(text) as { metadata: { timestamp: string } };
  return String(Date.parse(metadata.timestamp) / 1000);
}

/** Without git, as in a guest, any time will do. */
export const timeOfFirst = (): Readonly<Record<string, string | undefined>> =>
  existsSync(join(checkout, '.git')) ? { SOURCE_DATE_EPOCH: undefined } : { SOURCE_DATE_EPOCH: '1700000000' };
