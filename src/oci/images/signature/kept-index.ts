/**
 * Index of the kept signatures with the time of their last use. There is one file for each image, repository and
 * Kubernetes namespace. No I/O.
 */
import { createHash } from 'node:crypto';
import type { ImageId } from '../../../base/ids.ts';

/** Hex digits of a repository's hash in a file name: 128 bits. */
const REPOSITORY_HEX = 32;
/** Hex digits of a namespace's hash: 64 bits. Namespaces with the same hash share their quota. */
const OWNER_HEX = 16;

/** Older versions wrote names without namespace, and before that one file for all repositories of an image. */
const NAME = /^(?<key>sha256-[0-9a-f]{64}(?:\.[0-9a-f]{32})?)(?:\.(?<owner>[0-9a-f]{16}))?\.json$/u;

/** What a file belongs to: an image, the repository of the signatures, and the namespace that uses them. */
export interface KeptFor {
  readonly id: ImageId;
  /** With its host. Hashed in file names: it has slashes and can be too long. */
  readonly repository: string;
  /** Empty if the call had no namespace. */
  readonly namespace: string;
}

export function fileOf({ namespace, ...image }: KeptFor): string {
  return `${keyOf(image)}.${hashed(namespace, OWNER_HEX)}.json`;
}

/** The file that older versions used for all repositories of an image. */
export function earlierFileOf(id: ImageId): string {
  return `${id.replace(':', '-')}.json`;
}

export function isKeptName(name: string): boolean {
  return NAME.test(name);
}

function keyOf({ id, repository }: Omit<KeptFor, 'namespace'>): string {
  return `${id.replace(':', '-')}.${hashed(repository, REPOSITORY_HEX)}`;
}

function hashed(text: string, digits: number): string {
  return createHash('sha256').update(text).digest('hex').slice(0, digits);
}

function groups(name: string): { readonly key: string; readonly owner: string } {
  const { key = '', owner = '' } = NAME.exec(name)?.groups ?? {};
  return { key, owner };
}

export class KeptIndex {
  /** Last use of each file, in ms since 1970. */
  readonly #usedMs = new Map<string, number>();

  set(name: string, usedMs: number): void {
    this.#usedMs.set(name, usedMs);
  }

  delete(name: string): void {
    this.#usedMs.delete(name);
  }

  has(name: string): boolean {
    return this.#usedMs.has(name);
  }

  /** The most recently used file of another namespace, or of an older version, for the same image and repository. */
  fileOfOther(file: string): string | undefined {
    const { key } = groups(file);
    const others = [...this.#usedMs].filter(([name]) => name !== file && groups(name).key === key);
    return others.toSorted(([, one], [, other]) => other - one)[0]?.[0];
  }

  /**
   * The names to delete so that `most` remain. Each is the least recently used one of the namespace that has most
   * files, so that a namespace with many images does not displace the files of others.
   */
  surplus(most: number): readonly string[] {
    const byOwner = new Map<string, string[]>();
    for (const [name] of [...this.#usedMs].toSorted(([, one], [, other]) => other - one)) {
      const { owner } = groups(name);
      const names = byOwner.get(owner);
      if (names === undefined) byOwner.set(owner, [name]);
      else names.push(name);
    }
    const gone: string[] = [];
    while (this.#usedMs.size - gone.length > most) {
      let largest: string[] = [];
      for (const names of byOwner.values()) if (names.length > largest.length) largest = names;
      gone.push(largest.pop() ?? '');
    }
    return gone;
  }
}
