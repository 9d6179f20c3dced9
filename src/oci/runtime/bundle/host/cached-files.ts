/** Files of the node's administrator that are read when they are needed and kept until they change: always up to date, no watch. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fail } from '../../../../base/fault.ts';
import { nodeFileLimits } from '../../../bounds.ts';
import { missingAs } from '../../../../host/ffi/errno.ts';
import { readRegularFile } from '../../../../host/files/regular-file.ts';
import type { OnPath } from './bundle-mounts.ts';

interface Kept<T> {
  readonly stamp: string;
  readonly content: T;
}

export class KeptFiles<T> {
  readonly #parse: (path: string, bytes: Uint8Array) => T | Promise<T>;
  readonly #kept = new Map<string, Kept<T>>();

  /** `parse` throws what is wrong with a file; it names the path. */
  constructor(parse: (path: string, bytes: Uint8Array) => T | Promise<T>) {
    this.#parse = parse;
  }

  /** The file's content; undefined when it is gone: such files come and go with what they describe. */
  async read(path: string, onPath: OnPath): Promise<T | undefined> {
    return onPath(path, `read ${path}`, async () => {
      const found = await missingAs(stat(path, { bigint: true }), undefined);
      if (found === undefined) return this.#forget(path);
      const stamp = [found.mtimeNs, found.ctimeNs, found.size, found.ino].join(' ');
      const kept = this.#kept.get(path);
      if (kept?.stamp === stamp) return kept.content;
      const content = await this.#parse(path, await readRegularFile(path, nodeFileLimits.fileBytes));
      this.#kept.set(path, { stamp, content });
      return content;
    });
  }

  #forget(path: string): undefined {
    this.#kept.delete(path);
    return undefined;
  }

  /** Forgets all but these: what was deleted must not be kept for ever. */
  keepOnly(paths: ReadonlySet<string>): void {
    for (const path of this.#kept.keys()) if (!paths.has(path)) this.#kept.delete(path);
  }
}

/** Paths of what is in the directory and has one of the endings, sorted; none when there is no such directory. */
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
