// Parts of Debian packages which scripts/setup.js has unpacked below the cache.
import { existsSync, readdirSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { runOrThrow } from '../run.ts';
import { cacheDirectory } from './cache.ts';

/** The tree of an unpacked package; says how to get it when it isn't there. */
export function debianTree(
  name:
    | 'busybox-static'
    | 'busybox'
    | 'nginx'
    | 'docker-registry'
    | 'fuse-overlayfs'
    | 'btrfs-progs'
    | 'xfsprogs'
    | 'erofs-utils'
    | 'nftables'
    | 'skopeo'
    | 'buildah'
    | 'image-programs'
    | 'prometheus',
): string {
  const tree = join(cacheDirectory, 'debian', name);
  if (!existsSync(tree)) throw new Error(`${tree} is missing: run "sudo node scripts/setup.js test" first`);
  return tree;
}

/** The first of several places below the tree; where a file lies differs between releases (/bin or /usr/bin). */
export function inTree(tree: string, ...places: readonly string[]): string {
  const found = places.map((place) => join(tree, place)).find((path) => existsSync(path));
  if (found === undefined) throw new Error(`none of ${places.join(', ')} is in ${tree}`);
  return found;
}

/** The static busybox. */
export const staticBusybox = (): string =>
  inTree(debianTree('busybox-static'), 'bin/busybox', 'usr/bin/busybox');

/**
 * Why there is no static busybox; undefined when there is. The machine's own may need libraries, or not be there at
 * all.
 */
export function noBusybox(): string | undefined {
  try {
    staticBusybox();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Where the programs of this architecture name their loader. */
const loaderPath = process.arch === 'x64' ? 'lib64/ld-linux-x86-64.so.2' : 'lib/ld-linux-aarch64.so.1';
const triplet = process.arch === 'x64' ? 'x86_64-linux-gnu' : 'aarch64-linux-gnu';

/** A file for an image: where it belongs in there, and which of ours it is. */
export interface Library {
  readonly path: string;
  readonly source: string;
}

/**
 * The loader and the shared libraries that a program needs, all from its own unpacked tree, never the machine's.
 * It is the tree's loader that says which.
 */
export async function librariesOf(tree: string, program: string): Promise<Library[]> {
  const directories = [`lib/${triplet}`, `usr/lib/${triplet}`]
    .map((place) => join(tree, place))
    .filter((path) => existsSync(path));
  const loader = realpathSync(
    inTree(
      tree,
      ...directories.flatMap((directory) =>
        readdirSync(directory)
          .filter((name) => /^ld-linux.*\.so/.test(name))
          .map((name) => join(directory, name).slice(tree.length)),
      ),
    ),
  );
  const listed = await runOrThrow([loader, '--library-path', directories.join(':'), '--list', program]);
  const libraries: Library[] = [{ path: loaderPath, source: loader }];
  for (const line of listed.split('\n')) {
    const [, name, source] = /^\s*(\S+) => (\S+)/.exec(line) ?? [];
    if (name === undefined || source === undefined) continue;
    if (name.includes('ld-linux')) continue;
    if (!source.startsWith(tree)) throw new Error(`${program} needs ${name}, which is not in ${tree}`);
    libraries.push({ path: `lib/${triplet}/${name}`, source: realpathSync(source) });
  }
  return libraries;
}
