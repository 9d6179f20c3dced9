/**
 * What checkpoints and restores leave on the machine's disks: archives, which belong to the clients, and the daemon's
 * own directories. Changes of archives' names become durable in their order, at the latest with the next sync.
 */
import type { Random } from './random.ts';

export interface SimArchive {
  /** The image that its container was made from. */
  readonly imageId: string;
  /** Files that the container had written. */
  files: number;
  /** Every page of it was written, when. */
  isWhole: boolean;
  writtenNs: bigint;
  /** A power loss leaves its pages. */
  isSynced: boolean;
}

/** The daemon's note of a checkpoint under way. */
export interface SimWork {
  readonly archive: string;
  /** Archives of the same request. */
  readonly together: readonly string[];
  /** The instance of the daemon that began it. */
  readonly epoch: number;
}

/** What a container is to be restored from. */
export interface SimRestore {
  hasImages: boolean;
  /** Its restore was begun and not ended. */
  isMarked: boolean;
}

/** The name of an archive while it is written. */
export const partialOf = (archive: string): string => `${archive}.partial`;

export class Checkpoints {
  /** By container. */
  readonly works = new Map<string, SimWork>();
  /** By container. */
  readonly restores = new Map<string, SimRestore>();
  readonly #archives = new Map<string, SimArchive>();
  #durable = new Map<string, SimArchive>();
  #unsynced: (readonly [string, SimArchive | undefined])[] = [];

  /** Archives by path, parts too. */
  get archives(): ReadonlyMap<string, SimArchive> {
    return this.#archives;
  }

  /** A name begins to mean this file, or nothing. */
  name(path: string, file: SimArchive | undefined): void {
    if (file === undefined) this.#archives.delete(path);
    else this.#archives.set(path, file);
    this.#unsynced.push([path, file]);
  }

  /** The names as they are now are safe. */
  syncNames(): void {
    this.#durable = new Map(this.#archives);
    this.#unsynced = [];
  }

  /** Whether an archive of ours has its name. */
  isPublished(archive: string): boolean {
    const part = this.#archives.get(partialOf(archive));
    const found = this.#archives.get(archive);
    return found !== undefined && (part === undefined || part === found);
  }

  /**
   * What is left of requests that came to no end: archives that have their names only with all of theirs stay, parts
   * go.
   */
  undo(): void {
    const isNamed = (archive: string): boolean =>
      this.#archives.has(partialOf(archive)) && this.isPublished(archive);
    const named = [...this.works.values()].filter(
      ({ archive, together }) => isNamed(archive) && !together.every((one) => this.isPublished(one)),
    );
    for (const { archive } of named) this.name(archive, undefined);
    for (const { archive } of this.works.values())
      if (this.#archives.has(partialOf(archive))) this.name(partialOf(archive), undefined);
    this.syncNames();
    this.works.clear();
  }

  /** A prefix of the changes since the last sync is there afterwards. */
  losePower(random: Random): void {
    const names = new Map(this.#durable);
    for (const [path, file] of this.#unsynced.slice(0, random.int(this.#unsynced.length + 1))) {
      if (file === undefined) names.delete(path);
      else names.set(path, file);
    }
    this.#archives.clear();
    for (const [path, file] of names) {
      if (!file.isSynced) file.isWhole = false;
      this.#archives.set(path, file);
    }
    this.syncNames();
  }
}
