// Layers of images that we make ourselves: the same entries give the same bytes everywhere.
import {
  endOfArchive,
  headerOf,
  paddingAfter,
  type WrittenEntry,
} from '../../src/oci/images/archive/tar-header-bytes.ts';

/** One member of a layer. Owner and group are root, the time is the epoch, so that digests don't depend on the day. */
export type TarEntry = { readonly path: string } & (
  | { readonly type: 'directory'; readonly mode: number }
  | { readonly type: 'file'; readonly mode: number; readonly content: Uint8Array | string }
  | { readonly type: 'symlink' | 'hardlink'; readonly target: string }
);

const types = { file: 'file', hardlink: 'hardLink', symlink: 'symlink', directory: 'directory' } as const;

/** The bytes of a tar file with these entries, in this order (a hard link's target must come before it). */
export function tarOf(entries: readonly TarEntry[]): Buffer {
  const members = entries.map((entry) =>
    memberOf(
      {
        type: types[entry.type],
        name: entry.type === 'directory' ? `${entry.path}/` : entry.path,
        linkName: 'target' in entry ? entry.target : '',
        mode: 'mode' in entry ? entry.mode : 0o777,
      },
      entry.type === 'file' ? Buffer.from(entry.content) : undefined,
    ),
  );
  return Buffer.concat([...members, endOfArchive()]);
}

/** What must be said of a member; the rest is as for `TarEntry`. Names are text, written as UTF-8. */
type Member = Pick<WrittenEntry, 'type' | 'name' | 'mode'> & Partial<WrittenEntry>;

/** One member's bytes, without the end of an archive. */
export function memberOf(entry: Member, content: Buffer = Buffer.alloc(0)): Buffer {
  const header = headerOf({
    linkName: '',
    uid: 0,
    gid: 0,
    mtimeNs: 0n,
    deviceMajor: 0,
    deviceMinor: 0,
    xattrs: [],
    ...entry,
    name: asByteString(entry.name),
    ...(entry.linkName === undefined ? {} : { linkName: asByteString(entry.linkName) }),
    size: content.length,
  });
  return Buffer.concat([header, content, paddingAfter(content.length)]);
}

function asByteString(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}
