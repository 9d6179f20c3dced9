/** A bound on what one container writes to its root, by project quotas. */
import { mkdir } from 'node:fs/promises';
import type { ContainerId } from '../../../../base/ids.ts';
import { checkProjectQuota, joinProject, limitProject } from '../../../../host/files/project-quota.ts';
import { PRIVATE_MODE } from './modes.ts';

/**
 * The container's project: the first 31 bits of its id (one more and ext4's tools take it for negative). Of a thousand
 * containers two share one in one node of four thousand, and then their limit.
 */
function projectOf(id: ContainerId): number {
  return Number.parseInt(id.slice(0, 8), 16) >>> 1 || 1;
}

/** Undefined bytes: no limit, and nothing is done. */
export class ContainerLimit {
  readonly #bytes: number | undefined;

  constructor(bytes: number | undefined) {
    this.#bytes = bytes;
  }

  /** Rejects with the reason where containers at `root` can't be limited. */
  async check(root: string): Promise<void> {
    if (this.#bytes === undefined) return;
    await mkdir(root, { recursive: true, mode: PRIVATE_MODE });
    await checkProjectQuota(root);
  }

  /** For directories that are new: overlayfs renames from the one to the other, which two projects would refuse. */
  async apply(id: ContainerId, directories: readonly string[]): Promise<void> {
    if (this.#bytes === undefined) return;
    const project = projectOf(id);
    for (const directory of directories) await joinProject(directory, project);
    const [first] = directories;
    if (first !== undefined) await limitProject(first, project, this.#bytes);
  }

  /** The container goes, and its limit with it. */
  async release(id: ContainerId, directory: string): Promise<void> {
    if (this.#bytes !== undefined) await limitProject(directory, projectOf(id), 0);
  }
}
