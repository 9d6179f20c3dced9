/** Limits what one container may write to its root, by project quotas. */
import { mkdir } from 'node:fs/promises';
import type { ContainerId } from '../../../../base/ids.ts';
import { checkProjectQuota, joinProject, limitProject } from '../../../../host/files/project-quota.ts';
import { PRIVATE_MODE } from './modes.ts';
import type { RootfsDriver } from './rootfs-driver.ts';

/**
 * The container's project id: the first 31 bits of its id, since ext4's tools show larger ids as negative. With a
 * thousand containers per node, two containers share a project, and so a limit, on one node in four thousand.
 */
function projectOf(id: ContainerId): number {
  return Number.parseInt(id.slice(0, 8), 16) >>> 1 || 1;
}

/** The limit. If `bytes` is undefined, nothing is limited and all methods do nothing. */
export class ContainerLimit {
  readonly #bytes: number | undefined;

  constructor(bytes: number | undefined) {
    this.#bytes = bytes;
  }

  /** Rejects, with the reason, if containers at `root` cannot be limited. */
  async check(root: string): Promise<void> {
    if (this.#bytes === undefined) return;
    await mkdir(root, { recursive: true, mode: PRIVATE_MODE });
    await checkProjectQuota(root);
  }

  /** Puts new directories into one project: overlayfs renames between them, which fails between projects. */
  async apply(id: ContainerId, directories: readonly string[]): Promise<void> {
    if (this.#bytes === undefined) return;
    const project = projectOf(id);
    for (const directory of directories) await joinProject(directory, project);
    const [first] = directories;
    if (first !== undefined) await limitProject(first, project, this.#bytes);
  }

  /** Removes the limit of a container that is being removed. */
  async release(id: ContainerId, directory: string): Promise<void> {
    if (this.#bytes !== undefined) await limitProject(directory, projectOf(id), 0);
  }

  /** `release` as a part of a driver; without a limit a removal has nothing to ask for. */
  ofDriver(): Pick<RootfsDriver, 'removingRoot'> {
    return this.#bytes === undefined ? {} : { removingRoot: (paths, id) => this.release(id, paths.dir) };
  }
}
