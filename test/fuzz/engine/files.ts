/** The corpus of a learning target on disk: inputs by content, and below `regressions` what once failed. */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const REGRESSIONS = 'regressions';

export interface StoredInput {
  /** Below the corpus of its target. */
  readonly name: string;
  readonly bytes: Buffer;
  readonly isRegression: boolean;
}

/**
 * All inputs of a corpus, in an order that does not depend on the file system; none where there is no such directory.
 */
export function inputsIn(corpus: string): readonly StoredInput[] {
  const filesIn = (below: string): readonly string[] => {
    const directory = join(corpus, below);
    if (!existsSync(directory)) return [];
    return readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(below, entry.name))
      .toSorted();
  };
  // targets that began without coverage have theirs beside the others
  const isRegression = (name: string): boolean =>
    name.startsWith(`${REGRESSIONS}/`) || name.startsWith('regression-');
  return [...filesIn(''), ...filesIn(REGRESSIONS)].map((name) => ({
    name,
    bytes: readFileSync(join(corpus, name)),
    isRegression: isRegression(name),
  }));
}
