/** Checks names of entries and recognises whiteouts (OCI image spec, layer.md). */
import { unpackLimits } from '../bounds.ts';
import type { ByteString } from '../../base/byte-string.ts';
import { refuseTar } from './tar-header.ts';
import { shown } from '../../base/byte-string.ts';

/**
 * A plain path below the layer's root: no leading slash, no component that is empty, `.` or `..`. Empty for the root.
 */
export type LayerPath = ByteString;

/** What an entry's name refers to. */
export type EntryTarget =
  | { readonly kind: 'root' }
  | { readonly kind: 'entry'; readonly parent: LayerPath; readonly name: ByteString }
  /** Hides `name` of lower layers. */
  | { readonly kind: 'whiteout'; readonly parent: LayerPath; readonly name: ByteString }
  /** Hides everything of lower layers in `parent`. */
  | { readonly kind: 'opaque'; readonly parent: LayerPath }
  /** AUFS's internal files, which are not part of the layer. */
  | { readonly kind: 'ignored' };

const WHITEOUT = '.wh.';
/** Prefix of AUFS's internal names, such as `.wh..wh.plnk`. Only the opaque mark has a meaning in layers. */
const META = '.wh..wh.';
const OPAQUE = '.wh..wh..opq';

/**
 * The plain path for a name in an archive. A leading `/` is dropped, as in all tar programs. A name with `..` refuses
 * the layer: no builder writes one, and programs interpret it differently (S58).
 */
export function plainPath(name: ByteString): LayerPath {
  if (name.includes('\0')) refuseTar(`the name ${shown(name)} contains a NUL byte`);
  if (name.length > unpackLimits.pathBytes)
    refuseTar(`the name ${shown(name)} has more than ${unpackLimits.pathBytes} bytes`);
  const parts: ByteString[] = [];
  for (const part of name.split('/')) {
    if (part === '' || part === '.') continue;
    if (part === '..') refuseTar(`the name ${shown(name)} contains ..`);
    if (part.length > unpackLimits.nameBytes)
      refuseTar(`a part of ${shown(name)} has more than ${unpackLimits.nameBytes} bytes`);
    parts.push(part);
  }
  return parts.join('/');
}

/** Parent and last component; the parent of a name in the root is empty. */
export function splitPath(path: LayerPath): { readonly parent: LayerPath; readonly name: ByteString } {
  const slash = path.lastIndexOf('/');
  return slash < 0
    ? { parent: '', name: path }
    : { parent: path.slice(0, slash), name: path.slice(slash + 1) };
}

/** What the name of an entry refers to. Throws for names that are not allowed. */
export function entryTarget(entryName: ByteString): EntryTarget {
  const path = plainPath(entryName);
  // like GNU tar and containers/storage, take an empty name as the root: some builders cut their own root off all names
  if (path === '') return { kind: 'root' };
  const { parent, name } = splitPath(path);
  if (path.includes(WHITEOUT)) {
    for (const part of parent.split('/')) {
      if (part.startsWith(META) && part !== OPAQUE) return { kind: 'ignored' };
      if (part.startsWith(WHITEOUT)) refuseTar(`${shown(entryName)} lies below a whiteout`);
    }
    if (name === OPAQUE) return { kind: 'opaque', parent };
    if (name.startsWith(META)) return { kind: 'ignored' };
    if (name.startsWith(WHITEOUT)) return { kind: 'whiteout', parent, name: hiddenName(name, entryName) };
  }
  return { kind: 'entry', parent, name };
}

function hiddenName(name: ByteString, entryName: ByteString): ByteString {
  const hidden = name.slice(WHITEOUT.length);
  if (hidden === '' || hidden === '.' || hidden === '..')
    refuseTar(`the whiteout ${shown(entryName)} has no valid name to hide`);
  return hidden;
}
