/** Files of the node's administrator, read when needed and cached until they change. No watch, so never stale. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fail } from '../../../../base/fault.ts';
import { nodeFileLimits } from '../../../bounds.ts';
import { missingAs } from '../../../../host/ffi/errno.ts';
import { readRegularFile } from '../../../../host/files/regular-file.ts';
import type { OnPath } from './bundle-mounts.ts';

interface Cached<T> {
  readonly stamp: string;
  readonly content: T;
}

export class CachedFiles<T> {
  readonly #parse: (path: string, bytes: Uint8Array) => T | Promise<T>;
  readonly #cached = new Map<string, Cached<T>>();

  /** `parse` throws what is wrong with a file and names its path. */
  constructor(parse: (path: string, bytes: Uint8Array) => T | Promise<T>) {
    this.#parse = parse;
  }

  /** The file's content; undefined if it does not exist (such files are removed with what they describe). */
  async read(path: string, onPath: OnPath): Promise<T | undefined> {
    return onPath(path, `read ${path}`, async () => {
      const found = await missingAs(stat(path, { bigint: true }), undefined);
      if (found === undefined) return this.#forget(path);
      const stamp = [found.mtimeNs, found.ctimeNs, found.size, found.ino].join(' ');
      const cached = this.#cached.get(path);
      if (cached?.stamp === stamp) return cached.content;
      const content = await this.#parse(path, await readRegularFile(path, nodeFileLimits.fileBytes));
      this.#cached.set(path, { stamp, content });
      return content;
    });
  }

  #forget(path: string): undefined {
    this.#cached.delete(path);
    return undefined;
  }

  /** Drops all other files from the cache, so that deleted ones do not stay for ever. */
  keepOnly(paths: ReadonlySet<string>): void {
    for (const path of this.#cached.keys()) if (!paths.has(path)) this.#cached.delete(path);
  }
}

/** Paths of the files in the directory with one of the endings, sorted; empty if the directory does not exist. */
export async function filesIn(
  directory: string,
  endings: readonly string[],
  onPath: OnPath,
): Promise<readonly string[]> {
  const entries = await onPath(directory, `list ${directory}`, () =>
    missingAs(readdir(directory, { withFileTypes: true }), []),
  );
  const files = entries.filter(
    (entry) => !entry.isDirectory() && endings.some((ending) => entry.name.endsWith(ending)),
  );
  if (files.length > nodeFileLimits.files)
    fail('exhausted', `list ${directory}: more than ${nodeFileLimits.files} files`, { subject: directory });
  return files.map(({ name }) => join(directory, name)).toSorted();
}
