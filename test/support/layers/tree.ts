/** What generated layers hold, by path, and what shows when they lie on each other. */
import type { LayerEntry } from './encode.ts';

export type Kind = 'directory' | 'file' | 'symlink' | 'node';

export interface Node {
  readonly kind: Kind;
  /** False for a parent that no entry describes. */
  readonly described: boolean;
  /** What the entry said; a hard link's entry repeats it. */
  readonly entry?: LayerEntry;
  /** It took the place of another. */
  readonly isSecond?: boolean;
}

export type Tree = ReadonlyMap<string, Node>;

export interface GeneratedLayer {
  readonly tar: Buffer;
  /** All of the layer by plain path, without whiteouts. */
  readonly tree: Tree;
  /** Lower names that it hides. */
  readonly hidden: readonly string[];
  /** Lower directories of which it hides everything. */
  readonly opaque: readonly string[];
  readonly features: ReadonlySet<string>;
  /** A later entry of another kind takes the place of a directory with all in it; no directory has two entries. */
  readonly replacesTrees: boolean;
}

/**
 * GNU tar mixes up the attributes that it sets at its end: of the third entry of a name, of two late links, of what
 * follows a set-id directory.
 */
export function isBeyondGnu(before: Node, it: LayerEntry): boolean {
  return (
    before.isSecond === true ||
    (isLateLink(before.entry) && isLateLink(it)) ||
    (before.kind === 'directory' && ((before.entry?.mode ?? 0) & 0o6000) !== 0)
  );
}

/**
 * GNU tar makes links that lead outside at its very end; until then a file stands there, also for what is linked to it.
 */
export function isLateLink(it: LayerEntry | undefined): boolean {
  return it?.flag === '2' && /^\/|(?:^|\/)\.\.(?:\/|$)/u.test(it.linkName ?? '');
}

export function joinPath(parent: string, name: string): string {
  return parent === '' ? name : `${parent}/${name}`;
}

export function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}

export function pickAttributes({
  mode,
  uid,
  gid,
  mtimeNs,
}: LayerEntry): Pick<LayerEntry, 'mode' | 'uid' | 'gid' | 'mtimeNs'> {
  return { mode, uid, gid, mtimeNs };
}

/** What shows when this layer lies on the others. */
export function mergedTree(lower: Tree, layer: GeneratedLayer): Tree {
  const gone = (path: string): boolean =>
    layer.hidden.some((hidden) => path === hidden || path.startsWith(`${hidden}/`)) ||
    layer.opaque.some((opaque) => opaque === '' || path.startsWith(`${opaque}/`)) ||
    [...layer.tree].some(([own, node]) => node.kind !== 'directory' && path.startsWith(`${own}/`));
  return new Map([...[...lower].filter(([path]) => !gone(path)), ...layer.tree]);
}
