// A writer of tar files for image layers that we make ourselves: the same entries give the same bytes everywhere.

/** One member of a layer. Owner and group are root, the time is the epoch, so that digests don't depend on the day. */
export type TarEntry = { readonly path: string } & (
  | { readonly type: 'directory'; readonly mode: number }
  | { readonly type: 'file'; readonly mode: number; readonly content: Uint8Array | string }
  | { readonly type: 'symlink' | 'hardlink'; readonly target: string }
);

const BLOCK = 512;
const typeFlags = { file: '0', hardlink: '1', symlink: '2', directory: '5' } as const;

function header(entry: TarEntry, size: number): Buffer {
  const block = Buffer.alloc(BLOCK);
  const name = entry.type === 'directory' ? `${entry.path}/` : entry.path;
  const target = 'target' in entry ? entry.target : '';
  // ustar without its prefix field: no path of ours is that long, and one that were must not be cut silently.
  if (Buffer.byteLength(name) > 100 || Buffer.byteLength(target) > 100)
    throw new Error(`tar of ${name}: path longer than 100 bytes`);
  const octal = (value: number, offset: number, width: number): void => {
    block.write(`${value.toString(8).padStart(width - 1, '0')}\0`, offset, 'latin1');
  };
  block.write(name, 0);
  octal('mode' in entry ? entry.mode : 0o777, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(size, 124, 12);
  octal(0, 136, 12);
  block.write(' '.repeat(8), 148, 'latin1');
  block.write(typeFlags[entry.type], 156, 'latin1');
  block.write(target, 157);
  block.write('ustar\0' + '00', 257, 'latin1');
  // The checksum is taken with its own field as blanks.
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

/** The bytes of a tar file with these entries, in this order (a hard link's target must come before it). */
export function tarOf(entries: readonly TarEntry[]): Buffer {
  const parts: Buffer[] = [];
  for (const entry of entries) {
    const content = entry.type === 'file' ? Buffer.from(entry.content) : Buffer.alloc(0);
    const padding = Buffer.alloc((BLOCK - (content.length % BLOCK)) % BLOCK);
    parts.push(header(entry, content.length), content, padding);
  }
  parts.push(Buffer.alloc(2 * BLOCK));
  return Buffer.concat(parts);
}
