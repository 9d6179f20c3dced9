/**
 * Layers made from a seed, with everything that a layer may hold. What comes out is a valid archive: its links have
 * targets and its parents are directories. Whoever compares gets to know what programs may do differently by right.
 */
import { archive, entry, paxBody } from '../../unit/oci/layers/tar-builder.ts';
import type { Random } from '../../sim/random.ts';
import { randomStream } from '../../sim/random.ts';
import type { LayerEntry, TarForm } from './encode.ts';
import { Draws } from './draws.ts';
import { encodeEntry } from './encode.ts';
import type { GeneratedLayer, Kind, Node, Tree } from './tree.ts';
import { isBeyondGnu, isLateLink, joinPath, parentOf, pickAttributes } from './tree.ts';

export interface GenerateOptions {
  readonly seed: number;
  /** What the layers below show; whiteouts name something of it. Undefined: a layer of its own, without whiteouts. */
  readonly lower?: Tree;
  /** How many steps; some write two entries, some none. */
  readonly steps?: number;
}

const FORMS: readonly TarForm[] = ['v7', 'ustar', 'gnu', 'pax', 'pax'];
const DIRECTORY_MODES = [0o755, 0o700, 0o1777, 0o2775, 0o555, 0o3770];
const MOST_BYTES = 4000;

/** A file without content, whose name says what it hides. */
const markOf = (name: string): LayerEntry => ({
  flag: '0',
  name,
  mode: 0,
  uid: 0,
  gid: 0,
  mtimeNs: 0n,
  body: Buffer.alloc(0),
});

export class LayerGenerator {
  readonly #random: Random;
  readonly #lower: Tree | undefined;
  readonly #tree = new Map<string, Node>();
  readonly #parts: Buffer[] = [];
  readonly #hidden = new Set<string>();
  readonly #opaque = new Set<string>();
  readonly #features = new Set<string>();
  readonly #draws: Draws;
  readonly #count: number;
  readonly #replacesTrees: boolean;

  constructor({ seed, lower, steps }: GenerateOptions) {
    this.#random = randomStream(seed, 'layer');
    this.#lower = lower;
    this.#draws = new Draws({ random: this.#random, lower, tree: this.#tree, features: this.#features });
    this.#replacesTrees = this.#random.chance(0.4);
    this.#count = steps ?? 8 + this.#random.int(30);
  }

  generate(): GeneratedLayer {
    if (!this.#replacesTrees && this.#random.chance(0.7)) this.#root();
    if (this.#random.chance(0.1))
      this.#add(
        Buffer.from(entry({ name: 'pax_global_header', flag: 'g', body: paxBody({ comment: 'a1b2' }) })),
        'global header',
      );
    const steps: readonly (readonly [number, () => void])[] = [
      [5, () => this.#directory()],
      [7, () => this.#file()],
      [3, () => this.#symlink()],
      [3, () => this.#hardLink()],
      [2, () => this.#node()],
      [2, () => this.#sparse()],
      // containers/storage takes what came through a link for a lower layer's when the directory is opaque
      ...(this.#lower === undefined || this.#random.chance(0.5)
        ? ([[2, () => this.#throughLink()]] as const)
        : ([[1, () => this.#makeOpaque()]] as const)),
      ...(this.#lower === undefined
        ? ([[1, () => this.#again()]] as const)
        : ([[4, () => this.#whiteout()]] as const)),
    ];
    const total = steps.reduce((sum, [weight]) => sum + weight, 0);
    for (let at = 0; at < this.#count; at += 1) {
      let draw = this.#random.int(total);
      const step = steps.find(([weight]) => (draw -= weight) < 0);
      step?.[1]();
    }
    // most builders write a directory before what is in it; some (and some users of append) write it afterwards
    for (const [path, node] of this.#tree)
      if (!node.described && !this.#replacesTrees && this.#random.chance(0.5)) this.#describe(path);
    return {
      tar: archive(...this.#parts),
      tree: this.#tree,
      hidden: [...this.#hidden],
      opaque: [...this.#opaque],
      features: this.#features,
      replacesTrees: this.#replacesTrees,
    };
  }

  #add(bytes: Buffer, feature?: string): void {
    this.#parts.push(bytes);
    if (feature !== undefined) this.#features.add(feature);
  }

  // ---- the tree ----

  /** False when a parent is something else than a directory: nothing is written then. */
  #makeParents(path: string): boolean {
    const parts = path.split('/').slice(0, -1);
    const missing: string[] = [];
    for (let count = 1; count <= parts.length; count += 1) {
      const parent = parts.slice(0, count).join('/');
      const node = this.#tree.get(parent);
      if (node === undefined) missing.push(parent);
      else if (node.kind !== 'directory') return false;
    }
    for (const parent of missing) {
      // below a lower directory: described as builders do it
      if (this.#lower !== undefined) this.#describe(parent);
      else {
        this.#tree.set(parent, { kind: 'directory', described: false });
        this.#features.add('missing parents');
      }
    }
    return true;
  }

  #put(path: string, it: LayerEntry, kind: Kind, feature: string): void {
    const before = this.#tree.get(path);
    // containers/storage refuses a second entry of a name
    if (before !== undefined && this.#lower !== undefined) return;
    if (before !== undefined && isBeyondGnu(before, it)) return;
    // GNU tar replaces whole directories or enters them again, by one option for the whole archive
    if (before?.kind === 'directory' && (kind === 'directory') === this.#replacesTrees) return;
    if (before !== undefined)
      this.#features.add(
        before.kind === kind ? 'two entries of one name' : `${before.kind} replaced by ${kind}`,
      );
    // at its end GNU tar gives a directory's attributes to whatever has taken its place, and the first entry's to one
    // of two
    const written =
      before?.kind === 'directory' && before.entry !== undefined
        ? { ...it, ...pickAttributes(before.entry), xattrs: before.entry.xattrs ?? [] }
        : it;
    if (!(before?.kind === 'directory' && kind === 'directory')) this.#forget(path);
    this.#tree.set(path, { kind, described: true, entry: written, isSecond: before !== undefined });
    this.#add(encodeEntry(written, this.#random.pick(FORMS)), feature);
  }

  #forget(path: string): void {
    for (const other of [...this.#tree.keys()])
      if (other === path || other.startsWith(`${path}/`)) this.#tree.delete(other);
  }

  // ---- entries ----

  #root(): void {
    const it: LayerEntry = {
      flag: '5',
      name: this.#random.pick(['./', '.', '/', './.', '']),
      ...this.#draws.attributes(),
      mode: this.#random.pick(DIRECTORY_MODES),
    };
    this.#tree.set('', { kind: 'directory', described: true, entry: it });
    // in the oldest form only a slash at the end marks a directory
    this.#add(encodeEntry(it, this.#random.pick(FORMS.slice(1))), 'the root');
  }

  #describe(path: string): void {
    const like = this.#lower?.get(path);
    const lower = like?.kind === 'directory' ? like.entry : undefined;
    const attributes =
      lower === undefined
        ? { ...this.#draws.attributes(), mode: this.#random.pick(DIRECTORY_MODES) }
        : pickAttributes(lower);
    const it: LayerEntry = { flag: '5', name: this.#draws.written(path, true), ...attributes };
    if (this.#tree.has(path)) this.#features.add('directory after its children');
    this.#tree.set(path, { kind: 'directory', described: true, entry: it });
    this.#add(encodeEntry(it, this.#random.pick(FORMS)));
  }

  #directory(): void {
    const path = this.#draws.path();
    if (!this.#makeParents(path)) return;
    const it: LayerEntry = {
      flag: '5',
      name: this.#draws.written(path, true),
      ...this.#draws.attributes(),
      mode: this.#random.pick(DIRECTORY_MODES),
      xattrs: this.#replacesTrees || this.#lower !== undefined ? [] : (this.#draws.xattrs(false) ?? []),
    };
    this.#put(path, it, 'directory', 'directories');
  }

  #file(): void {
    const path = this.#draws.path();
    if (!this.#makeParents(path)) return;
    const it: LayerEntry = {
      flag: this.#lower === undefined && this.#random.chance(0.05) ? '7' : '0',
      name: this.#draws.written(path, false),
      ...this.#draws.attributes(),
      body: Buffer.from(
        this.#draws.bytes(this.#random.int(3) === 0 ? this.#random.int(MOST_BYTES) : this.#random.int(20)),
        'latin1',
      ),
      xattrs: this.#draws.xattrs(true) ?? [],
    };
    if ((it.mode & 0o6000) !== 0) this.#features.add('set-id bits');
    this.#put(path, it, 'file', 'files');
  }

  #symlink(): void {
    const path = this.#draws.path();
    if (!this.#makeParents(path)) return;
    const directories = this.#draws.of('directory').filter((other) => other !== '');
    const targets = [
      this.#draws.component(),
      '/',
      '/etc/passwd',
      '../../../../etc/passwd',
      '.',
      '..',
      '/nowhere/at/all',
      'dang/ling',
      't'.repeat(101 + this.#random.int(400)),
      ...directories.slice(0, 3).flatMap((directory) => [`/${directory}`, directory]),
    ];
    const it: LayerEntry = {
      flag: '2',
      name: this.#draws.written(path, false),
      ...this.#draws.attributes(),
      mode: 0o777,
      linkName: this.#random.pick(targets),
    };
    this.#put(path, it, 'symlink', 'symlinks');
  }

  #hardLink(): void {
    // the driver vfs copies what lies below, and keeps together only the names of files
    const targets =
      this.#lower === undefined ? this.#draws.of('file', 'symlink', 'node') : this.#draws.of('file');
    const path = this.#draws.path();
    if (targets.length === 0 || this.#tree.get(path)?.kind === 'directory' || !this.#makeParents(path))
      return;
    const target = this.#random.pick(targets);
    const node = this.#tree.get(target);
    // a target that goes away to make room for its own link is refused, a link to itself means nothing
    if (
      node?.entry === undefined ||
      target === path ||
      target.startsWith(`${path}/`) ||
      isLateLink(node.entry)
    )
      return;
    // what the entry says of the file is what the file has: programs differ in whether a link's entry changes its file
    const it: LayerEntry = {
      ...pickAttributes(node.entry),
      flag: '1',
      name: this.#draws.written(path, false),
      linkName: this.#draws.written(target, false),
    };
    this.#put(path, it, node.kind, 'hard links');
  }

  #node(): void {
    const path = this.#draws.path();
    if (!this.#makeParents(path)) return;
    const flag = this.#random.pick(['3', '4', '6'] as const);
    // not 0:0, which overlayfs takes as a whiteout
    const numbers =
      flag === '6'
        ? {}
        : { major: 1 + this.#random.int(511), minor: this.#random.pick([0, 1, 255, 256, 4095]) };
    this.#put(
      path,
      { flag, name: this.#draws.written(path, false), ...this.#draws.attributes(), ...numbers },
      'node',
      flag === '6' ? 'FIFOs' : 'devices',
    );
  }

  #sparse(): void {
    const path = this.#draws.path();
    if (!this.#makeParents(path)) return;
    const sparse = this.#draws.sparse();
    const it: LayerEntry = {
      flag: '0',
      name: this.#draws.written(path, false),
      ...this.#draws.attributes(),
      sparse,
    };
    this.#put(path, it, 'file', `sparse ${sparse.form}`);
  }

  /** A link to a directory, and then a file whose path leads through it. */
  #throughLink(): void {
    const directories = this.#draws
      .of('directory')
      .filter((path) => path !== '' && this.#tree.get(path)?.described === true);
    const link = this.#draws.component();
    if (directories.length === 0 || this.#tree.has(link)) return;
    const target = this.#random.pick(directories);
    const child = this.#draws.component();
    const meant = `${target}/${child}`;
    if (this.#tree.has(meant)) return;
    const it: LayerEntry = {
      flag: '2',
      name: link,
      ...this.#draws.attributes(),
      mode: 0o777,
      linkName: target,
    };
    this.#put(link, it, 'symlink', 'symlinks');
    if (this.#tree.get(link)?.entry !== it) return;
    const file: LayerEntry = {
      flag: '0',
      name: `${link}/${child}`,
      ...this.#draws.attributes(),
      body: Buffer.from('through a link'),
    };
    this.#put(meant, file, 'file', 'parents that are links');
  }

  #isHiddenBelow(path: string): boolean {
    return [...this.#hidden].some((hidden) => hidden === path || path.startsWith(`${hidden}/`));
  }

  /** Something that stands in the archive already stands there once more, as it was or as something else. */
  #again(): void {
    const paths = [...this.#tree.keys()].filter((path) => path !== '');
    if (paths.length === 0) return;
    const path = this.#random.pick(paths);
    if (!this.#makeParents(path)) return;
    const body = Buffer.from('again');
    if (this.#random.chance(0.5))
      this.#put(
        path,
        { flag: '0', name: this.#draws.written(path, false), ...this.#draws.attributes(), body },
        'file',
        'files',
      );
    else
      this.#put(
        path,
        { flag: '5', name: this.#draws.written(path, true), ...this.#draws.attributes(), mode: 0o755 },
        'directory',
        'directories',
      );
  }

  // ---- what is below ----

  #whiteout(): void {
    const lower = [...(this.#lower ?? [])].map(([path]) => path).filter((path) => path !== '');
    if (lower.length === 0) return;
    const path = this.#random.pick(lower);
    const name = path.slice(path.lastIndexOf('/') + 1);
    // `.wh..x` may mean something else, and the mark alone is not a whiteout; 255 bytes are the longest name
    if (
      this.#tree.has(path) ||
      this.#hidden.has(path) ||
      name.startsWith('.') ||
      name.length > 250 ||
      this.#isHiddenBelow(path) ||
      !this.#makeParents(path)
    )
      return;
    this.#hidden.add(path);
    // after what it must not hide: whiteouts are for lower layers, but programs differ in what one does to its own
    const it = markOf(joinPath(parentOf(path), `.wh.${name}`));
    this.#add(encodeEntry(it, this.#random.pick(FORMS)), 'whiteouts');
  }

  #makeOpaque(): void {
    const path = this.#random.pick([
      ...this.#draws.of('directory').filter((one) => one !== ''),
      this.#draws.lowerDirectory(),
    ]);
    if (path === '' && this.#random.chance(0.7)) return;
    if (this.#opaque.has(path) || this.#isHiddenBelow(path)) return;
    if (path !== '') {
      if (!this.#makeParents(path)) return;
      if (!this.#tree.has(path)) this.#describe(path);
      if (this.#tree.get(path)?.kind !== 'directory') return;
    }
    this.#opaque.add(path);
    const it = markOf(joinPath(path, '.wh..wh..opq'));
    this.#add(encodeEntry(it, this.#random.pick(FORMS)), path === '' ? 'opaque root' : 'opaque directories');
  }
}
