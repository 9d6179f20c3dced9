// What a directory tree holds, to see that nothing was written: names, kinds, modes, times, sizes and content.
import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join, relative } from 'node:path';

/** One line for each entry. Not the times of access. */
export function digestOfTree(directory: string): readonly string[] {
  return [
    directory,
    ...readdirSync(directory, { recursive: true, encoding: 'utf8' }).map((name) => join(directory, name)),
  ]
    .map((path) => {
      const found = lstatSync(path, { bigint: true });
      const { mode, size, ino, uid, gid, mtimeNs, ctimeNs } = found;
      // what has no bytes may be a namespace, which can't be read
      const content =
        found.isFile() && size > 0n
          ? createHash('sha256').update(readFileSync(path)).digest('hex')
          : found.isSymbolicLink()
            ? readlinkSync(path)
            : '';
      return [
        relative(directory, path),
        mode.toString(8),
        size,
        ino,
        uid,
        gid,
        mtimeNs,
        ctimeNs,
        content,
      ].join(' ');
    })
    .toSorted();
}
