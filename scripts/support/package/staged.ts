// A tree on the disk, for the programs that pack it.
import {
  chmodSync,
  copyFileSync,
  lutimesSync,
  mkdirSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { directoriesOf, type PackedEntry } from './entries.ts';

/** Writes the entries below a directory, each with its mode and the same time. */
export function stage(entries: readonly PackedEntry[], directory: string, seconds: number): void {
  mkdirSync(directory, { recursive: true });
  for (const path of directoriesOf(entries)) mkdirSync(join(directory, path), { recursive: true });
  for (const entry of entries) {
    const path = join(directory, entry.path);
    if ('link' in entry) {
      symlinkSync(entry.link, path);
      lutimesSync(path, seconds, seconds);
      continue;
    }
    if ('from' in entry) copyFileSync(entry.from, path);
    else writeFileSync(path, entry.content);
    // whatever the umask is
    chmodSync(path, entry.mode);
    utimesSync(path, seconds, seconds);
  }
  // last, and the inner ones first: an entry that is made changes the time of its directory
  for (const path of [...directoriesOf(entries)].toReversed()) {
    chmodSync(join(directory, path), 0o755);
    utimesSync(join(directory, path), seconds, seconds);
  }
  chmodSync(directory, 0o755);
  utimesSync(directory, seconds, seconds);
}
