// What a package has in it, before it is a file of any form.
import { readFileSync } from 'node:fs';
import { dirname, posix } from 'node:path';
import { files } from './files-below.ts';

/** A file by its bytes or by where they lie, or a symbolic link. The path has no slash at its beginning. */
export type PackedEntry = { readonly path: string } & (
  | { readonly mode: number; readonly content: string | Buffer }
  | { readonly mode: number; readonly from: string }
  | { readonly link: string }
);

/** Sorted by bytes, so that the order depends on no locale. */
export const sorted = <T extends { readonly path: string }>(entries: readonly T[]): readonly T[] =>
  entries.toSorted((a, b) => (a.path < b.path ? -1 : Number(a.path > b.path)));

/** The directories that the entries stand in, sorted. */
export function directoriesOf(entries: readonly PackedEntry[]): readonly string[] {
  const all = new Set<string>();
  for (const { path } of entries)
    for (let at = dirname(path); at !== '.' && !all.has(at); at = dirname(at)) all.add(at);
  return [...all].toSorted();
}

/** @returns undefined for a link */
export function contentOf(entry: PackedEntry): Buffer | undefined {
  if ('link' in entry) return undefined;
  return 'from' in entry ? readFileSync(entry.from) : Buffer.from(entry.content);
}

/** The files below a directory as entries below `path`: executable where the mode says so, else plain. */
export const entriesBelow = (directory: string, path: string): readonly PackedEntry[] =>
  files(directory).map(({ name, isExecutable }) => ({
    path: posix.join(path, name),
    from: posix.join(directory, name),
    mode: isExecutable ? 0o755 : 0o644,
  }));
