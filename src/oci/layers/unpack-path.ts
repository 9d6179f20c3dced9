/** Where an entry belongs in a layer: names checked and whiteouts told apart (OCI image spec, layer.md). */
import { unpackLimits } from '../bounds.ts';
import type { ByteString } from '../../base/byte-string.ts';
import { refuseTar } from './tar-header.ts';
import { shown } from '../../base/byte-string.ts';

/** A path below the layer's root in plain form: components joined by `/`, none empty, `.` or `..`; empty is the root. */
export type LayerPath = ByteString;

export type Place =
  | { readonly kind: 'root' }
  | { readonly kind: 'entry'; readonly parent: LayerPath; readonly name: ByteString }
  /** `name` of lower layers is hidden. */
  | { readonly kind: 'whiteout'; readonly parent: LayerPath; readonly name: ByteString }
  /** Everything of lower layers in `parent` is hidden. */
  | { readonly kind: 'opaque'; readonly parent: LayerPath }
  /** AUFS's own bookkeeping: no part of the layer. */
  | { readonly kind: 'ignored' };

const WHITEOUT = '.wh.';
/** Names of AUFS itself, such as `.wh..wh.plnk`; only the opaque mark means something. */
const META = '.wh..wh.';
const OPAQUE = '.wh..wh..opq';

/**
 * The plain form of a name of an archive. A leading `/` is dropped, as all tar programs do; `..` refuses the layer,
 * since no builder writes it and what it means differs between programs (S58).
 */
export function plainPath(name: ByteString): LayerPath {
  if (name.includes('\0')) refuseTar(`the name ${shown(name)} holds a NUL byte`);
  if (name.length > unpackLimits.pathBytes)
    refuseTar(`the name ${shown(name)} has more than ${unpackLimits.pathBytes} bytes`);
  const parts: ByteString[] = [];
  for (const part of name.split('/')) {
    if (part === '' || part === '.') continue;
    if (part === '..') refuseTar(`the name ${shown(name)} holds ..`);
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

/** Tells where an entry with this name goes; throws on names that mean nothing good. */
export function placeOf(entryName: ByteString): Place {
  const path = plainPath(entryName);
  // an empty name is the root's, too, as GNU tar and containers/storage have it: what is left when a builder cuts its own root off
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
    refuseTar(`the whiteout ${shown(entryName)} names nothing that can be hidden`);
  return hidden;
}
