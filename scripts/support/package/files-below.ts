import { readdirSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';

interface Found {
  /** Relative to the directory. */
  readonly name: string;
  readonly isExecutable: boolean;
}

/** All files below a directory, sorted. */
export const files = (directory: string): readonly Found[] =>
  readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .toSorted()
    .map((path) => ({ name: relative(directory, path), isExecutable: (statSync(path).mode & 0o100) !== 0 }));
