/** What is drawn for entries of a layer: names, the forms in which they are written, and attributes. */
import type { Random } from '../../sim/random.ts';
import type { LayerEntry, Piece, SparseForm } from './encode.ts';
import type { Kind, Node, Tree } from './tree.ts';
import { joinPath } from './tree.ts';

const SPARSE: readonly SparseForm[] = ['gnu', 'pax-0.0', 'pax-0.1', 'pax-1.0'];
const IDS = [0, 1, 1000, 65_534, 2 ** 21 - 1, 2 ** 21, 100_000_000, 2 ** 31, 2 ** 32 - 2];
const MODES = [0o644, 0o755, 0o600, 0o4755, 0o2755, 0o6711, 0o1777, 0o444, 0o000, 0o777];
/** VFS_CAP_REVISION_2 with cap_net_raw, and VFS_CAP_REVISION_3 with a root id. */
const CAPABILITIES = [
  Buffer.from('0100000200200000000000000000000000000000', 'hex'),
  Buffer.from('010000030020000000000000000000000000000000a08601', 'hex'),
];
/** Far enough in the future to need more than eleven octal digits. */
const TIMES_NS = [
  0n,
  1n,
  1_700_000_000_000_000_000n,
  1_234_567_890_123_456_789n,
  2_147_483_648_000_000_000n,
  8_589_934_592_000_000_000n,
  999_999_999n,
];
const NEGATIVE_TIMES_NS = [-1n, -1_000_000_000n, -1_500_000_000n, -86_400_000_000_001n];

/** The layer so far, as far as what is drawn depends on it. */
interface Drawing {
  readonly random: Random;
  readonly lower: Tree | undefined;
  readonly tree: ReadonlyMap<string, Node>;
  /** Gets the features of what was drawn. */
  readonly features: Set<string>;
}

export class Draws {
  readonly #random: Random;
  readonly #lower: Tree | undefined;
  readonly #tree: ReadonlyMap<string, Node>;
  readonly #features: Set<string>;

  constructor({ random, lower, tree, features }: Drawing) {
    this.#random = random;
    this.#lower = lower;
    this.#tree = tree;
    this.#features = features;
  }

  /** A component of a path, now and then of bytes that are no text. */
  component(): string {
    const draw = this.#random.int(20);
    if (draw === 0) return this.bytes(1 + this.#random.int(12));
    if (draw === 1)
      return this.#random.pick([
        'a b',
        ' lead',
        'trail ',
        '-rf',
        '*',
        '"q"',
        "'",
        '\\',
        '$HOME',
        '\n',
        'tab\t',
        '%s',
        '...',
        '.hidden',
        'é',
        'ü\u00ff',
        '.wh',
        'wh.x',
      ]);
    if (draw === 2) return 'long'.repeat(20 + this.#random.int(40)).slice(0, 255);
    return `${this.#random.pick(['a', 'b', 'c', 'd', 'e'])}${this.#random.int(4)}`;
  }

  /** Characters of any bytes but slashes. */
  bytes(length: number): string {
    let text = '';
    for (let at = 0; at < length; at += 1)
      text += String.fromCharCode(
        this.#random.pick([1, 10, 13, 27, 32, 39, 46, 92, 127, 128, 195, 255, 48 + this.#random.int(60)]),
      );
    // neither a slash nor a name with a meaning of its own
    const safe = text.replaceAll('/', '_');
    this.#features.add('names of any bytes');
    return safe === '.' || safe === '..' ? 'x' : safe;
  }

  /** A new or taken path below a directory of this layer, or below parents that are not there yet. */
  path(): string {
    const directories = this.of('directory');
    const draw = this.#random.int(10);
    let parent = '';
    if (draw < 6 && directories.length > 0) parent = this.#random.pick(directories);
    else if (draw < 8 && this.#lower !== undefined) parent = this.lowerDirectory();
    else if (draw === 9) {
      parent = [this.component(), this.component()].join('/');
    }
    return joinPath(parent, this.component());
  }

  /** A directory of what is below; empty for none. */
  lowerDirectory(): string {
    const directories = [...(this.#lower ?? [])]
      .filter(([, node]) => node.kind === 'directory')
      .map(([path]) => path);
    return directories.length === 0 ? '' : this.#random.pick(directories);
  }

  /** Paths of the layer's nodes of these kinds. */
  of(...kinds: readonly Kind[]): string[] {
    return [...this.#tree].filter(([, node]) => kinds.includes(node.kind)).map(([path]) => path);
  }

  /** One of the forms in which archives write a path. */
  written(path: string, isDirectory: boolean): string {
    // GNU tar keeps the attributes of missing parents by the name that led to them, and forgets those of another form
    const form = this.#hasMissing(path) ? 8 : this.#random.int(8);
    let name = path;
    if (form === 0) name = `./${path}`;
    else if (form === 1) name = `/${path}`;
    else if (form === 2) name = path.replaceAll('/', '//');
    else if (form === 3) name = path.replaceAll('/', '/./');
    else if (form === 4) name = `.//${path}`;
    if (form < 5) this.#features.add('other forms of names');
    return isDirectory && this.#random.chance(0.6) ? `${name}/` : name;
  }

  #hasMissing(path: string): boolean {
    return [...this.#tree].some(
      ([other, node]) => !node.described && (path === other || path.startsWith(`${other}/`)),
    );
  }

  /** Owner, mode and time: the usual ones, or borders of the formats. */
  attributes(): Pick<LayerEntry, 'mode' | 'uid' | 'gid' | 'mtimeNs'> {
    const usual = this.#random.chance(0.5);
    const negative = !usual && this.#lower === undefined && this.#random.chance(0.15);
    if (negative) this.#features.add('negative times');
    const attributes = {
      mode: this.#random.pick(MODES),
      uid: usual ? 0 : this.#random.pick(IDS),
      gid: usual ? 0 : this.#random.pick(IDS),
      mtimeNs: usual
        ? 1_700_000_000_000_000_000n
        : negative
          ? this.#random.pick(NEGATIVE_TIMES_NS)
          : this.#random.pick(TIMES_NS),
    };
    if (attributes.uid > 2 ** 21 || attributes.gid > 2 ** 21) this.#features.add('big ids');
    if (attributes.mtimeNs % 1_000_000_000n !== 0n) this.#features.add('nanoseconds');
    return attributes;
  }

  /** Extended attributes, mostly none. */
  xattrs(canBeCapable: boolean): LayerEntry['xattrs'] {
    // Go takes an empty one as none; the driver vfs keeps those of a lower directory
    if (!this.#random.chance(0.15)) return [];
    this.#features.add('xattrs');
    const xattrs: [string, Buffer][] = [
      [
        `user.x${this.#random.int(3)}`,
        Buffer.from(this.bytes((this.#lower === undefined ? 0 : 1) + this.#random.int(40)), 'latin1'),
      ],
    ];
    if (canBeCapable && this.#random.chance(0.5)) {
      this.#features.add('file capabilities');
      xattrs.push(['security.capability', this.#random.pick(CAPABILITIES)]);
    }
    return xattrs;
  }

  /** Where a sparse file has content, in one of the forms in which archives say so. */
  sparse(): NonNullable<LayerEntry['sparse']> {
    const pieces: Piece[] = [];
    let offset = 0;
    for (let count = this.#random.int(this.#random.chance(0.1) ? 60 : 6); count > 0; count -= 1) {
      offset += 512 * this.#random.int(20);
      const bytes = Buffer.from(this.bytes(512 * (1 + this.#random.int(3))), 'latin1');
      pieces.push({ offset, bytes });
      offset += bytes.length;
    }
    // containers/storage takes the PAX forms only
    const form = this.#random.pick(this.#lower === undefined ? SPARSE : SPARSE.slice(1));
    const size = offset + (this.#random.chance(0.5) ? 512 * this.#random.int(100) : 0);
    // GNU tar ends each map at the file's end, with an empty piece where there is a hole
    if (pieces.length === 0 || size > offset) pieces.push({ offset: size, bytes: Buffer.alloc(0) });
    return { form, size, pieces };
  }
}
