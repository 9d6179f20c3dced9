// A tree as .tar.gz. Written by Node alone, so that the bytes depend on the sources and the pinned Node only.
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { endOfArchive } from '../../../src/oci/images/archive/tar-header-bytes.ts';
import { memberOf } from '../tar.ts';
import { contentOf, directoriesOf, type PackedEntry, sorted } from './entries.ts';

/** 48 MB in half the time in which the usual 6 make 46. */
export const GZIP_LEVEL = 3;

/** @param top the directory that all of it is below  @param seconds the time of every entry */
export async function tarballOf(
  entries: readonly PackedEntry[],
  top: string,
  seconds: number,
): Promise<Buffer> {
  const mtimeNs = BigInt(seconds) * 1_000_000_000n;
  const below = entries.map((entry) => ({ ...entry, path: `${top}/${entry.path}` }));
  const members = [
    ...directoriesOf(below).map((path) => ({ path: `${path}/`, directory: true as const })),
    ...below,
  ];
  const written = sorted(members).map((entry) => {
    if ('directory' in entry) return memberOf({ type: 'directory', name: entry.path, mode: 0o755, mtimeNs });
    if ('link' in entry)
      return memberOf({ type: 'symlink', name: entry.path, linkName: entry.link, mode: 0o777, mtimeNs });
    return memberOf({ type: 'file', name: entry.path, mode: entry.mode, mtimeNs }, contentOf(entry));
  });
  return await promisify(gzip)(Buffer.concat([...written, endOfArchive()]), { level: GZIP_LEVEL });
}
