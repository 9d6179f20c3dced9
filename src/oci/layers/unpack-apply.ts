/**
 * Creates the files of a layer's tar entries. It works like GNU tar as root, writes whiteouts in overlayfs's form, and
 * never touches anything outside the given root (S18, S58).
 */
import { closeSync, fchmodSync, fchownSync, fstatSync, ftruncateSync, writeSync } from 'node:fs';
import type { Stats } from 'node:fs';
import { toFault, FaultError } from '../../base/fault.ts';
import { storageLimits } from '../bounds.ts';
import { codeOf } from '../../host/ffi/errno.ts';
import type { SpaceGuard } from '../../host/files/free-space.ts';
import { removeTreeAt } from '../trees/remove-tree.ts';
import type { TarEntry } from './tar-entry.ts';
import type { ByteString } from '../../base/byte-string.ts';
import { refuseTar } from './tar-header.ts';
import { shown } from '../../base/byte-string.ts';
import type { TarSink } from './tar-reader.ts';
import type { EntryTarget, LayerPath } from './unpack-path.ts';
import { plainPath, splitPath, entryTarget } from './unpack-path.ts';
import { LayerRoot } from './unpack-root.ts';
import type { WrittenSize } from './unpack-size.ts';
import { SizeSum } from './unpack-size.ts';
import { isAllowedXattr } from './unpack-xattr.ts';
import {
  chmodAt,
  chownAt,
  createFileAt,
  isWhiteout,
  linkAt,
  mkdirAt,
  mknodAt,
  setTimeAt,
  setTimeOf,
  setXattrAt,
  setXattrOf,
  statAt,
  symlinkAt,
  unlinkAt,
} from '../trees/entry-calls.ts';

const S_IFCHR = 0o020000;
const S_IFBLK = 0o060000;
const S_IFIFO = 0o010000;
/** Permissions with set-user-id, set-group-id and sticky bit. */
const MODE_BITS = 0o7777;

export interface Applied {
  readonly entries: number;
  /**
   * Whether the layer hides all lower ones (`.wh..wh..opq` in its root). overlayfs ignores such a mark on a layer's
   * root.
   */
  readonly rootOpaque: boolean;
  /** Number of xattrs that were dropped: those that an image must not set or that the file system does not support. */
  readonly xattrsDropped: number;
  /** Size of everything below the root; undefined if only a walk over the tree can determine it. */
  readonly size: WrittenSize | undefined;
}

interface OpenFile {
  readonly fd: number;
  readonly entry: TarEntry;
}

/** Applies entries in order, one at a time. After an error only `close` may be called. */
export class LayerApplier implements TarSink {
  readonly #root: LayerRoot;
  readonly #space: SpaceGuard | undefined;
  /**
   * Times of directories. They are set at the end, since each entry created in a directory changes its time. The inode
   * is compared then, because a later entry may have replaced a directory on the path by a symlink.
   */
  readonly #directoryTimes = new Map<LayerPath, { readonly ns: bigint; readonly ino: number }>();
  readonly #whiteouts = new Set<LayerPath>();
  readonly #size = new SizeSum();
  #file: OpenFile | undefined;
  #entries = 0;
  #rootOpaque = false;
  #xattrsDropped = 0;

  /**
   * @param rootFd an open directory; the caller closes it
   * @param space called before each write; throws if the disk has too little free space
   */
  constructor(rootFd: number, space?: SpaceGuard) {
    this.#root = new LayerRoot(rootFd);
    this.#space = space;
  }

  begin(entry: TarEntry): void {
    this.#entries += 1;
    this.#attempt(entry, () => {
      this.#space?.take(
        entry.xattrs.reduce<number>((sum, { value }) => sum + value.length, storageLimits.entryBytes),
        1,
      );
      this.#apply(entry, entryTarget(entry.name));
    });
  }

  data(bytes: Uint8Array, position: number): void {
    const file = this.#file;
    // the body of a whiteout or an ignored entry
    if (file === undefined) return;
    this.#attempt(file.entry, () => {
      this.#space?.take(Math.max(bytes.length, storageLimits.entryBytes), 0);
      let done = 0;
      while (done < bytes.length)
        done += writeSync(file.fd, bytes, done, bytes.length - done, position + done);
    });
  }

  finish(): void {
    const file = this.#file;
    if (file === undefined) return;
    this.#attempt(file.entry, () => {
      const { fd, entry } = file;
      // for a hole at the end of the file
      if (entry.sparse) ftruncateSync(fd, entry.size);
      // most files are as they were created, and each change is one of the inode in the file system's journal
      const stats = fstatSync(fd);
      // owner before mode and xattrs: chown(2) clears set-user-id bits, which `createFileAt` leaves out, and file
      // capabilities
      if (!isOwnedAs(entry, stats)) fchownSync(fd, entry.uid, entry.gid);
      if (!isModeOf(entry, stats)) fchmodSync(fd, entry.mode);
      this.#xattrs(entry, (name, value) => setXattrOf(fd, name, value));
      setTimeOf(fd, entry.mtimeNs);
      // an xattr may take a block of its own
      this.#size.addFile(entry.xattrs.length > 0 ? fstatSync(fd) : stats, entry);
      this.#file = undefined;
      closeSync(fd);
    });
  }

  /** Finishes the layer after its last entry. */
  complete(): Applied {
    this.#dropUselessWhiteouts();
    for (const [path, { ns, ino }] of this.#directoryTimes) {
      if (path === '') {
        setTimeAt(this.#root.fd, '.', ns);
        continue;
      }
      const { parent, name } = splitPath(path);
      const fd = this.#root.existing(parent);
      const stats = fd === undefined ? undefined : statAt(fd, name);
      if (fd === undefined || stats?.isDirectory() !== true || stats.ino !== ino) continue;
      setTimeAt(fd, name, ns);
      this.#size.addDirectory(stats);
    }
    this.#directoryTimes.clear();
    if (this.#root.implied > 0) this.#size.giveUp();
    return {
      entries: this.#entries,
      rootOpaque: this.#rootOpaque,
      xattrsDropped: this.#xattrsDropped,
      size: this.#size.total,
    };
  }

  close(): void {
    if (this.#file !== undefined) closeSync(this.#file.fd);
    this.#file = undefined;
    this.#root.close();
  }

  /** Runs `work` and adds the entry's name to errors of system calls. */
  #attempt(entry: TarEntry, work: () => void): void {
    try {
      work();
    } catch (error) {
      const fault = toFault(error, `entry ${shown(entry.name)}`);
      throw new FaultError(fault);
    }
  }

  #apply(entry: TarEntry, target: EntryTarget): void {
    switch (target.kind) {
      case 'root':
        if (entry.type !== 'directory') refuseTar('it names the root but is not a directory');
        this.#directoryAttributes(entry, '', this.#root.fd, '.');
        break;
      case 'entry':
        this.#make(entry, target.parent, target.name);
        break;
      case 'whiteout':
        this.#whiteout(target.parent, target.name);
        break;
      case 'opaque':
        if (target.parent === '') this.#rootOpaque = true;
        else this.#root.makeOpaque(target.parent, this.#root.directory(target.parent), '.');
        break;
      case 'ignored':
        break;
    }
  }

  #make(entry: TarEntry, parent: LayerPath, name: ByteString): void {
    const fd = this.#root.directory(parent);
    switch (entry.type) {
      case 'directory':
        this.#directory(entry, parent, fd, name);
        break;
      case 'file':
        this.#file = { fd: this.#fresh(fd, name, () => createFileAt(fd, name, creationMode(entry))), entry };
        break;
      case 'symlink':
        if (entry.linkName === '') refuseTar('it is a symlink with an empty target');
        this.#fresh(fd, name, () => symlinkAt(entry.linkName, fd, name));
        this.#symlinkAttributes(entry, fd, name);
        break;
      case 'hardLink':
        this.#hardLink(entry, parent, name);
        break;
      case 'character':
        this.#node(entry, fd, name, S_IFCHR);
        break;
      case 'block':
        this.#node(entry, fd, name, S_IFBLK);
        break;
      case 'fifo':
        this.#node(entry, fd, name, S_IFIFO);
        break;
    }
  }

  #symlinkAttributes(entry: TarEntry, fd: number, name: ByteString): void {
    const stats = statAt(fd, name);
    if (!isOwnedAs(entry, stats)) chownAt(fd, name, entry.uid, entry.gid);
    this.#xattrs(entry, (xattr, value) => setXattrAt(fd, name, xattr, value));
    setTimeAt(fd, name, entry.mtimeNs);
    this.#size.addOther(entry.xattrs.length > 0 ? statAt(fd, name) : stats);
  }

  /** Runs `make`. If the name exists, deletes it first: of two entries with the same name the later counts. */
  #fresh<T>(fd: number, name: ByteString, make: () => T): T {
    try {
      return make();
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error;
    }
    this.#remove(fd, name);
    return make();
  }

  #remove(fd: number, name: ByteString): void {
    const stats = statAt(fd, name);
    this.#size.giveUp();
    removeTreeAt(fd, name);
    if (stats?.isDirectory() === true || stats?.isSymbolicLink() === true) this.#root.forget(fd);
  }

  #directory(entry: TarEntry, parent: LayerPath, fd: number, name: ByteString): void {
    const path = joined(parent, name);
    const made = this.#makeDirectory(entry, fd, name);
    // this layer has hidden the lower directory: its entries must not appear in the new one
    if (
      made === 'forWhiteout' ||
      (made === 'made' && (this.#whiteouts.has(path) || this.#root.isOpaque(path)))
    )
      this.#root.makeOpaque(path, fd, name);
    this.#directoryAttributes(entry, path, fd, name);
  }

  /** What was there is deleted unless it is a directory. */
  #makeDirectory(entry: TarEntry, fd: number, name: ByteString): 'made' | 'forWhiteout' | 'kept' {
    const mode = creationMode(entry);
    try {
      mkdirAt(fd, name, mode);
      return 'made';
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error;
    }
    const stats = statAt(fd, name);
    if (stats?.isDirectory() === true) return 'kept';
    this.#remove(fd, name);
    mkdirAt(fd, name, mode);
    return stats !== undefined && isWhiteout(stats) ? 'forWhiteout' : 'made';
  }

  #directoryAttributes(entry: TarEntry, path: LayerPath, fd: number, name: ByteString): void {
    const stats = statAt(fd, name);
    if (!isOwnedAs(entry, stats)) chownAt(fd, name, entry.uid, entry.gid);
    if (!isModeOf(entry, stats)) chmodAt(fd, name, entry.mode);
    this.#xattrs(entry, (xattr, value) => setXattrAt(fd, name, xattr, value));
    if (!this.#directoryTimes.has(path)) this.#root.keepPath(path);
    this.#directoryTimes.set(path, { ns: entry.mtimeNs, ino: stats?.ino ?? 0 });
  }

  #node(entry: TarEntry, fd: number, name: ByteString, type: number): void {
    this.#fresh(fd, name, () => mknodAt(fd, name, type | 0o600, entry.deviceMajor, entry.deviceMinor));
    chownAt(fd, name, entry.uid, entry.gid);
    chmodAt(fd, name, entry.mode);
    this.#xattrs(entry, (xattr, value) => setXattrAt(fd, name, xattr, value));
    setTimeAt(fd, name, entry.mtimeNs);
    this.#size.addOther(undefined);
  }

  /** Links to a file of this layer. Owner, mode and times stay those of the file, as with GNU tar (S18). */
  #hardLink(entry: TarEntry, parent: LayerPath, name: ByteString): void {
    const path = plainPath(entry.linkName);
    if (path === '') refuseTar('it is a hard link to the root');
    const target = splitPath(path);
    const from = this.#root.existing(target.parent);
    const stats = from === undefined ? undefined : statAt(from, target.name);
    if (from === undefined || stats === undefined || isWhiteout(stats)) {
      refuseTar(`it is a hard link to ${shown(entry.linkName)}, which this layer does not have`);
    }
    if (stats.isDirectory()) refuseTar(`it is a hard link to the directory ${shown(entry.linkName)}`);
    const to = this.#root.directory(parent);
    const taken = statAt(to, name);
    // a link to itself: deleting the existing name first would delete the file
    if (taken !== undefined && taken.ino === stats.ino && taken.dev === stats.dev) return;
    this.#fresh(to, name, () => linkAt(this.#sourceOf(target.parent), target.name, to, name));
  }

  /** Opens the target's directory again, since deleting the old name may have closed it. */
  #sourceOf(parent: LayerPath): number {
    return this.#root.existing(parent) ?? refuseTar('the directory of its target no longer exists');
  }

  /**
   * Hides `name` in lower layers. An entry of this layer with that name stays (OCI image spec, layer.md: Whiteouts).
   */
  #whiteout(parent: LayerPath, name: ByteString): void {
    const fd = this.#root.directory(parent);
    const stats = statAt(fd, name);
    const path = joined(parent, name);
    if (stats?.isDirectory() === true) this.#root.makeOpaque(path, fd, name);
    if (stats !== undefined) return;
    mknodAt(fd, name, S_IFCHR, 0, 0);
    this.#size.addOther(undefined);
    this.#root.keepPath(path);
    this.#whiteouts.add(path);
  }

  /**
   * Deletes whiteouts that have no effect. overlayfs checks for whiteouts only in merged directories; in an opaque
   * directory it lists them as names that cannot be opened.
   */
  #dropUselessWhiteouts(): void {
    for (const path of this.#whiteouts) {
      if (!this.#rootOpaque && !this.#root.isBelowOpaque(path)) continue;
      const { parent, name } = splitPath(path);
      const fd = this.#root.existing(parent);
      const stats = fd === undefined ? undefined : statAt(fd, name);
      // a later entry may have replaced it
      if (fd !== undefined && stats !== undefined && isWhiteout(stats)) {
        this.#size.giveUp();
        unlinkAt(fd, name);
      }
    }
    this.#whiteouts.clear();
  }

  #xattrs(entry: TarEntry, set: (name: ByteString, value: Buffer) => void): void {
    for (const { name, value } of entry.xattrs) {
      if (!isAllowedXattr(name)) {
        this.#xattrsDropped += 1;
        continue;
      }
      try {
        set(name, value);
      } catch (error) {
        // programs rely on capabilities, so failing to set one is an error. Other xattrs are dropped, as in the peers,
        // if the file system does not support them (EOPNOTSUPP) or the kernel allows them on files and directories only
        // (EPERM)
        const code = codeOf(error);
        if (name === 'security.capability' || (code !== 'EOPNOTSUPP' && code !== 'EPERM')) throw error;
        this.#xattrsDropped += 1;
      }
    }
  }
}

/** The mode to create a file or directory with: special bits are set once it has its owner. */
function creationMode({ mode }: TarEntry): number {
  return mode & 0o777;
}

function isOwnedAs({ uid, gid }: TarEntry, stats: Stats | undefined): boolean {
  return stats?.uid === uid && stats.gid === gid;
}

/** False also where the umask or an ACL of the directory has taken bits away. */
function isModeOf({ mode }: TarEntry, stats: Stats | undefined): boolean {
  return stats !== undefined && (stats.mode & MODE_BITS) === mode;
}

function joined(parent: LayerPath, name: ByteString): LayerPath {
  return parent === '' ? name : `${parent}/${name}`;
}
