/** OCI hooks from directories of the node's administrator (oci-hooks(5)); no directory by default. */
import { posix } from 'node:path';
import { toFault } from '../../../../base/fault.ts';
import type { OnPath } from '../host/bundle-mounts.ts';
import { filesIn, CachedFiles } from '../host/cached-files.ts';
import type { StagedHook } from '../../spec/edits.ts';
import { inMatchTime } from './expression.ts';
import { parseHookFile } from './hook-file.ts';
import type { HookSubject } from './hook-file.ts';

export class HookDirectories {
  readonly #directories: () => readonly string[];
  readonly #files = new CachedFiles(parseHookFile);

  /** By ascending precedence: a file replaces one of the same name in an earlier directory. Called at each use. */
  constructor(directories: () => readonly string[]) {
    this.#directories = directories;
  }

  /**
   * The hooks for this container in the order of their files' names. Throws `outside` for an invalid file: a
   * container without a hook meant for it (a policy, an audit) must not run.
   */
  async hooksFor(subject: HookSubject, onPath: OnPath): Promise<readonly StagedHook[]> {
    const directories = this.#directories();
    if (directories.length === 0) return [];
    const byName = new Map<string, string>();
    for (const directory of directories) {
      for (const path of await filesIn(directory, ['.json'], onPath)) byName.set(posix.basename(path), path);
    }
    const paths = [...byName].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, path]) => path);
    const files = await Promise.all(paths.map((path) => this.#files.read(path, onPath)));
    this.#files.keepOnly(new Set(paths));
    const chosen = inMatchTime(() => files.filter((file) => file?.matches(subject) === true));
    return chosen.flatMap((file) => file?.stages.map((stage) => ({ stage, hook: file.hook })) ?? []);
  }

  /** Invalid files at present: path → reason. While there is one, no container is created (see above). */
  async problems(onPath: OnPath): Promise<ReadonlyMap<string, string>> {
    const found = new Map<string, string>();
    const problem =
      (path: string) =>
      (error: unknown): undefined =>
        void found.set(path, toFault(error).message);
    for (const directory of this.#directories()) {
      const paths = (await filesIn(directory, ['.json'], onPath).catch(problem(directory))) ?? [];
      for (const path of paths) await this.#files.read(path, onPath).catch(problem(path));
    }
    return found;
  }
}
