/**
 * Which signatures are kept, for whom, and when they were used last: the names of the files, one for each image, repository and
 * Kubernetes namespace. Pure.
 */
import { createHash } from 'node:crypto';
import type { ImageId } from '../../../base/ids.ts';

/** Digits of a repository's hash in a name: 128 bits. */
const REPOSITORY_HEX = 32;
/** Digits of a namespace's hash: 64 bits. Two that share it share their room. */
const OWNER_HEX = 16;

/** Older versions had no namespace in the name, and before that one file for all repositories of an image. */
const NAME = /^(?<key>sha256-[0-9a-f]{64}(?:\.[0-9a-f]{32})?)(?:\.(?<owner>[0-9a-f]{16}))?\.json$/u;

/** What is kept for one namespace: an image, and the repository whose signatures these are. */
export interface KeptFor {
  readonly id: ImageId;
  /** With its host. Its name is no name of a file: it has slashes, and is as long as a file's name may be. */
  readonly repository: string;
  /** '' where a call named none. */
  readonly namespace: string;
}

export function fileOf({ namespace, ...image }: KeptFor): string {
  return `${keyOf(image)}.${hashed(namespace, OWNER_HEX)}.json`;
}

/** The file of an older version for all repositories. */
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
  /** When each file was used, in ms since 1970. */
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

  /** The latest file of the same image and repository that is another namespace's, or of a version without namespaces. */
  anothers(file: string): string | undefined {
    const { key } = groups(file);
    const others = [...this.#usedMs].filter(([name]) => name !== file && groups(name).key === key);
    return others.toSorted(([, one], [, other]) => other - one)[0]?.[0];
  }

  /**
   * Names beyond `most`: each the one longest unused of the namespace that has most, so that whoever keeps much takes no room
   * from those who keep little.
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
