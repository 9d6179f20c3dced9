/**
 * A directory on a disk with a write cache. What was written is seen by every reader at once, but a power loss keeps
 * only what was synced and an arbitrary legal part of the rest: of each file a prefix of its unsynced writes with a
 * torn end, of the directory any of the unsynced creates, renames and unlinks. A failed sync drops the dirty pages:
 * readers still see them, the platter never gets them, and the next sync succeeds without them (F19).
 */
import type { Random } from './random.ts';

const SECTOR = 512;

type Write =
  | { readonly kind: 'append'; readonly at: number; readonly bytes: Uint8Array }
  | { readonly kind: 'cut'; readonly length: number };
type NameChange = { readonly name: string; readonly inode: Inode | undefined };

class Inode {
  cache: Uint8Array = new Uint8Array(0);
  platter: Uint8Array = new Uint8Array(0);
  dirty: Write[] = [];
}

/** An error as the kernel gives it. */
export class DiskError extends Error {
  readonly code: string;
  constructor(code: string, what: string) {
    super(`${code}: ${what}`);
    this.code = code;
  }
}

export class DiskModel {
  readonly #names = new Map<string, Inode>();
  #platterNames = new Map<string, Inode>();
  /** Each entry is one operation, whose parts happen together. */
  #dirtyNames: (readonly NameChange[])[] = [];
  /** Bytes that all files together may have. */
  capacityBytes = Number.MAX_SAFE_INTEGER;
  /** True: sync says yes and does nothing (the mutant of a dropped fsync). */
  syncLies = false;
  /** How many of a file's unsynced writes reach the platter nevertheless when its sync fails. */
  failedSyncWrites: (unsynced: number) => number = () => 0;

  list(): readonly string[] {
    return [...this.#names.keys()].toSorted();
  }

  read(name: string): Uint8Array | undefined {
    return this.#names.get(name)?.cache.slice();
  }

  create(name: string): Inode {
    if (this.#names.has(name)) throw new DiskError('EEXIST', `create ${name}`);
    const inode = new Inode();
    this.#rename([{ name, inode }]);
    return inode;
  }

  openAt(name: string, length: number): Inode {
    const inode = this.#existing(name);
    if (length < inode.cache.length) {
      inode.cache = inode.cache.slice(0, length);
      inode.dirty.push({ kind: 'cut', length });
    }
    return inode;
  }

  /** Writes what fits; throws ENOSPC when not all of it did, as write(2) after a short write. */
  append(inode: Inode, bytes: Uint8Array): void {
    const fits = bytes.subarray(0, Math.max(0, this.capacityBytes - this.usedBytes()));
    // not slice(): that of a Buffer shares its memory
    inode.dirty.push({ kind: 'append', at: inode.cache.length, bytes: new Uint8Array(fits) });
    inode.cache = joined(inode.cache, fits);
    if (fits.length < bytes.length) throw new DiskError('ENOSPC', 'write');
  }

  /** The same bytes once more at the head of the file: dirty again. */
  writeAgain(name: string, bytes: Uint8Array): void {
    const inode = this.#existing(name);
    inode.cache = applied(inode.cache, { kind: 'append', at: 0, bytes });
    inode.dirty.push({ kind: 'append', at: 0, bytes: new Uint8Array(bytes) });
  }

  sync(inode: Inode): void {
    if (this.syncLies) return;
    for (const write of inode.dirty) inode.platter = applied(inode.platter, write);
    inode.dirty = [];
  }

  /**
   * What a sync that answers EIO leaves behind: lost pages, but a cut is the file system's own and stays to be done.
   */
  failSync(inode: Inode): never {
    const written = this.failedSyncWrites(inode.dirty.length);
    for (const write of inode.dirty.slice(0, written)) inode.platter = applied(inode.platter, write);
    inode.dirty = inode.dirty.slice(written).filter((write) => write.kind === 'cut');
    throw new DiskError('EIO', 'fdatasync');
  }

  rename(from: string, to: string): void {
    const inode = this.#existing(from);
    this.#rename([
      { name: from, inode: undefined },
      { name: to, inode },
    ]);
  }

  unlink(name: string): void {
    if (this.#names.has(name)) this.#rename([{ name, inode: undefined }]);
  }

  syncDirectory(): void {
    if (this.syncLies) return;
    for (const change of this.#dirtyNames.flat()) applyName(this.#platterNames, change);
    this.#dirtyNames = [];
  }

  usedBytes(): number {
    let used = 0;
    for (const inode of this.#names.values()) used += inode.cache.length;
    return used;
  }

  /** Sizes of files and of what is not synced, for a hash of the state of the world. */
  shape(): readonly (readonly [string, number, number, readonly number[]])[] {
    return [...this.#names].map(([name, { cache, platter, dirty }]) => [
      name,
      cache.length,
      platter.length,
      [this.#dirtyNames.length, ...dirty.map((write) => (write.kind === 'cut' ? -1 : write.bytes.length))],
    ]);
  }

  /** Changes bytes on the platter and in the cache alike: rot, and the preparation of tests. */
  put(name: string, bytes: Uint8Array): void {
    const inode = new Inode();
    inode.cache = new Uint8Array(bytes);
    inode.platter = new Uint8Array(bytes);
    this.#names.set(name, inode);
    this.#platterNames.set(name, inode);
  }

  /** The same disk once more, so that several futures can be tried on it. */
  clone(): DiskModel {
    const copy = new DiskModel();
    const inodes = new Map<Inode, Inode>();
    const copied = (inode: Inode): Inode => {
      const made = inodes.get(inode) ?? Object.assign(new Inode(), inode, { dirty: [...inode.dirty] });
      inodes.set(inode, made);
      return made;
    };
    for (const [name, inode] of this.#names) copy.#names.set(name, copied(inode));
    for (const [name, inode] of this.#platterNames) copy.#platterNames.set(name, copied(inode));
    copy.#dirtyNames = this.#dirtyNames.map((operation) =>
      operation.map(({ name, inode }) => ({ name, inode: inode === undefined ? undefined : copied(inode) })),
    );
    copy.capacityBytes = this.capacityBytes;
    copy.syncLies = this.syncLies;
    copy.failedSyncWrites = this.failedSyncWrites;
    return copy;
  }

  losePower(random: Random): void {
    const names = new Map(this.#platterNames);
    for (const operation of this.#dirtyNames)
      if (random.chance(0.5)) for (const change of operation) applyName(names, change);
    this.#names.clear();
    for (const [name, inode] of names) {
      const kept = keptOf(inode, random);
      const fresh = new Inode();
      fresh.cache = kept;
      fresh.platter = kept.slice();
      this.#names.set(name, fresh);
    }
    this.#platterNames = new Map(this.#names);
    this.#dirtyNames = [];
  }

  #existing(name: string): Inode {
    const inode = this.#names.get(name);
    if (inode === undefined) throw new DiskError('ENOENT', name);
    return inode;
  }

  #rename(operation: readonly NameChange[]): void {
    for (const change of operation) applyName(this.#names, change);
    this.#dirtyNames.push(operation);
  }
}

export type { Inode };

function applyName(names: Map<string, Inode>, { name, inode }: NameChange): void {
  if (inode === undefined) names.delete(name);
  else names.set(name, inode);
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(a.length + b.length);
  bytes.set(a);
  bytes.set(b, a.length);
  return bytes;
}

function applied(bytes: Uint8Array, write: Write): Uint8Array {
  if (write.kind === 'cut') return bytes.slice(0, write.length);
  const grown = new Uint8Array(Math.max(bytes.length, write.at + write.bytes.length));
  grown.set(bytes);
  grown.set(write.bytes, write.at);
  return grown;
}

/** A prefix of the unsynced writes; the last one may be cut anywhere, and the sector that was cut may hold anything. */
function keptOf(inode: Inode, random: Random): Uint8Array {
  let bytes = inode.platter;
  const whole = random.int(inode.dirty.length + 1);
  for (const write of inode.dirty.slice(0, whole)) bytes = applied(bytes, write);
  const next = inode.dirty[whole];
  if (next?.kind !== 'append' || next.bytes.length === 0) return bytes.slice();
  const cut = random.int(next.bytes.length);
  const torn = applied(bytes, { ...next, bytes: next.bytes.slice(0, cut) });
  if (random.chance(0.5)) return torn;
  const rest = (SECTOR - (torn.length % SECTOR)) % SECTOR;
  const fill = random.chance(0.5) ? 0 : random.int(256);
  return joined(torn, new Uint8Array(rest).fill(fill));
}
