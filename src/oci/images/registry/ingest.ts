/**
 * Stores the received part of unfinished blobs on disk, so that an interrupted download can resume: on a retry, at a
 * mirror, or after the daemon was killed (F07, F60). There is one file per digest and source: the bytes of an
 * incomplete blob cannot be verified, so bytes of one registry must not be used for another (S90). A file contains the
 * first bytes of its blob and nothing else. It is neither synced nor trusted: a resumed download hashes it again with
 * the rest, and after a wrong digest the download starts over.
 */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { lstat, mkdir, open, stat, statfs } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { ByteBlocks } from '../../../base/byte-blocks.ts';
import { Conditions } from '../../../base/conditions.ts';
import { toFault } from '../../../base/fault.ts';
import { hexOf, parseDigest, type Digest } from '../../../base/ids.ts';
import { LeftDebris } from '../../../base/left-debris.ts';
import type { DebrisReport } from '../../../base/left-debris.ts';
import { ingestLimits } from '../bounds.ts';
import type { Log } from '../../../base/log.ts';
import { missingAs, onlyAbsent } from '../../../host/ffi/errno.ts';
import { closeInPool } from '../../../host/io/close-in-pool.ts';
import { SpaceCount, leastFreeBytes } from '../../../host/files/free-space.ts';
import type { FilesystemFacts } from '../../../host/files/free-space.ts';
import { namesOf } from '../../../host/files/names-of.ts';
import { removeFile } from '../../../host/files/state-files.ts';
import { inPool } from '../../../host/ffi/pool.ts';

export interface IngestsOptions {
  /** Absolute path; created with mode 0700 if missing. */
  readonly directory: string;
  readonly log: Log;
  /** Where to report files that cannot be deleted; if omitted, only the log does. */
  readonly conditions?: DebrisReport;
  /** Moves a directory that does not belong here away, and deletes it later. */
  readonly discard?: (path: string) => Promise<void>;
  /** Bytes of the smallest blob to keep; default: `ingestLimits`. */
  readonly leastBytes?: number;
  /** Bytes of all files together, and of those of one namespace; default: `ingestLimits`. */
  readonly mostBytes?: number;
  readonly bytesPerNamespace?: number;
  /** Figures of the directory's file system; default: statfs(2). */
  readonly facts?: (directory: string) => Promise<FilesystemFacts>;
}

/** A blob to download. */
export interface Incoming {
  readonly digest: Digest;
  /** Bytes, as stated in the manifest. */
  readonly size: number;
  /** The registry that sends the bytes; empty if there is only one. */
  readonly source: string;
  /** Kubernetes namespace whose share the file counts against; omitted for no namespace. */
  readonly namespace?: string | undefined;
}

/** Hex digits of a source's hash in a file name: 96 bits. */
const SOURCE_HEX = 24;

/** Manages the ingest files of one directory. Only one object may use a directory. */
export class Ingests {
  readonly #options: IngestsOptions;
  /** Blobs that are being downloaded, by file name. */
  readonly #active = new Map<string, Incoming>();
  /** Namespace that wrote each file last since the daemon started, by file name. */
  readonly #namespaces = new Map<string, string>();
  readonly #left: LeftDebris;

  constructor(options: IngestsOptions) {
    this.#options = options;
    this.#left = new LeftDebris(options.conditions ?? new Conditions(options.log));
  }

  /**
   * Opens the blob's file, with the bytes of an earlier download. Resolves to undefined if the download cannot be kept:
   * the blob is small, the file is in use, or the disk, the bounds or the namespace's share have no space left. Never
   * rejects, since the pull can continue without the file.
   */
  async open(incoming: Incoming): Promise<Ingest | undefined> {
    const { directory, log, leastBytes = ingestLimits.leastBytes } = this.#options;
    const { digest, size } = incoming;
    const name = nameOf(incoming);
    if (size < leastBytes || this.#active.has(name)) return undefined;
    this.#active.set(name, incoming);
    const release = (): void => void this.#active.delete(name);
    const facts = (): Promise<FilesystemFacts> => this.#facts();
    try {
      await inPool(directory, () => mkdir(directory, { recursive: true, mode: 0o700 }));
      if (await this.#hasRoom(name, incoming)) {
        if (incoming.namespace !== undefined) this.#namespaces.set(name, incoming.namespace);
        return await Ingest.open({ path: join(directory, name), directory, size, log, release, facts });
      }
    } catch (error) {
      log.warn(
        { digest, reason: toFault(error).message },
        'cannot keep partial layer download; a retry starts over',
      );
    }
    release();
    return undefined;
  }

  /**
   * Deletes the file of a blob that is no longer needed. Succeeds if the file does not exist. Leaves a file that is
   * being written.
   */
  async drop(incoming: Incoming): Promise<void> {
    await this.#drop(nameOf(incoming));
  }

  /** Deletes the files of all other blobs, except those being written. A failure does not stop the rest. */
  async dropAllBut(keep: ReadonlySet<Digest>): Promise<void> {
    const round = this.#left.round();
    const { directory } = this.#options;
    await round.attempt(directory, async () => {
      for (const name of await inPool(directory, () => namesOf(directory))) {
        const digest = ingestedDigest(name);
        const path = join(directory, name);
        if (digest === undefined || !keep.has(digest)) await round.attempt(path, () => this.#dropStray(name));
      }
    });
    round.end();
  }

  /** Deletes whatever has this name, even a directory, unless it is being written. */
  async #dropStray(name: string): Promise<void> {
    if (this.#active.has(name)) return;
    const { directory, discard } = this.#options;
    const path = join(directory, name);
    const found = await inPool(directory, () => missingAs(lstat(path), undefined));
    if (found?.isDirectory() === true && discard !== undefined) await discard(path);
    else await inPool(directory, () => removeFile(path));
  }

  async #drop(name: string): Promise<void> {
    if (this.#active.has(name)) return;
    // if the directory is missing or something else, it has no ingest file; a pull must not fail because of that
    const { directory } = this.#options;
    await inPool(directory, () => removeFile(join(directory, name))).catch(onlyAbsent);
  }

  /**
   * Whether the file fits: into the bounds, into the namespace's share, and beside the layers that need the disk, too.
   */
  async #hasRoom(name: string, { size, namespace }: Incoming): Promise<boolean> {
    const { mostBytes = ingestLimits.mostBytes, bytesPerNamespace = ingestLimits.bytesPerNamespace } =
      this.#options;
    const onDisk = await this.#sizes();
    // count files that are being written with their final size
    const sizes = new Map([
      ...onDisk,
      ...[...this.#active].map(([other, incoming]) => [other, incoming.size] as const),
    ]);
    const others = [...sizes].filter(([other]) => other !== name);
    const bytesOf = (files: typeof others): number => files.reduce((sum, [, bytes]) => sum + bytes, 0);
    if (others.length >= ingestLimits.files || bytesOf(others) + size > mostBytes) return false;
    const shared =
      namespace === undefined ? [] : others.filter(([other]) => this.#namespaceOf(other) === namespace);
    if (shared.length >= ingestLimits.filesPerNamespace) return false;
    if (namespace !== undefined && bytesOf(shared) + size > bytesPerNamespace) return false;
    const { bavail, bsize, blocks } = await this.#facts();
    return (
      bavail * bsize - leastFreeBytes(blocks * bsize) >=
      (size - (onDisk.get(name) ?? 0)) * ingestLimits.roomFactor
    );
  }

  #facts(): Promise<FilesystemFacts> {
    const { directory, facts = statfs } = this.#options;
    return inPool(directory, () => facts(directory));
  }

  #namespaceOf(name: string): string | undefined {
    return this.#active.get(name)?.namespace ?? this.#namespaces.get(name);
  }

  /** Bytes by file name. */
  async #sizes(): Promise<ReadonlyMap<string, number>> {
    const sizes = new Map<string, number>();
    const { directory } = this.#options;
    for (const name of await inPool(directory, () => namesOf(directory))) {
      // a file that was deleted in the meantime counts as empty
      const { size } = await inPool(directory, () => stat(join(directory, name))).catch(() => ({ size: 0 }));
      sizes.set(name, size);
    }
    for (const name of this.#namespaces.keys())
      if (!sizes.has(name) && !this.#active.has(name)) this.#namespaces.delete(name);
    return sizes;
  }
}

/** The file name. It depends on the size, too: two manifests may state different sizes for the same digest. */
function nameOf({ digest, size, source }: Incoming): string {
  if (source === '') return hexOf(digest);
  return `${hexOf(digest)}.${createHash('sha256').update(`${size} ${source}`).digest('hex').slice(0, SOURCE_HEX)}`;
}

/** The digest of the blob that an ingest file of this name belongs to; undefined for other names. */
export function ingestedDigest(name: string): Digest | undefined {
  return /^[0-9a-f]{64}(?:\.[0-9a-f]{24})?$/u.test(name)
    ? parseDigest(`sha256:${name.slice(0, 64)}`)
    : undefined;
}

interface IngestFile {
  readonly path: string;
  /** The directory whose disk may hang; names the limited share of libuv's pool to use. */
  readonly directory: string;
  /** Bytes of the whole blob. */
  readonly size: number;
  readonly log: Log;
  release(): void;
  /** Current figures of its file system. */
  facts(): Promise<FilesystemFacts>;
}

/** The ingest file of one running download. If the disk fails, the file is given up and the download continues. */
export class Ingest {
  readonly #file: FileHandle;
  readonly #target: IngestFile;
  readonly #pending = new ByteBlocks('keep a download', ingestLimits.pendingBytes);
  /** Bytes in the file, including the write in progress. */
  #bytes: number;
  #writing: Promise<void> = Promise.resolve();
  /** Free space, checked again while writing: layers that are being unpacked have priority over kept downloads. */
  readonly #space: SpaceCount;
  #isBroken = false;

  private constructor(file: FileHandle, bytes: number, target: IngestFile) {
    this.#file = file;
    this.#bytes = bytes;
    this.#target = target;
    this.#space = new SpaceCount(target.directory);
  }

  static async open(target: IngestFile): Promise<Ingest> {
    const { O_RDWR, O_CREAT, O_NOFOLLOW } = constants;
    const { path, directory } = target;
    const file = await inPool(directory, () => open(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0o600));
    try {
      const { size } = await inPool(directory, () => file.stat());
      // a file longer than the blob cannot contain its first bytes
      if (size > target.size) await inPool(directory, () => file.truncate(0));
      return new Ingest(file, size > target.size ? 0 : size, target);
    } catch (error) {
      await closeInPool(directory, file);
      throw error;
    }
  }

  /** Bytes of the blob that the file holds, including those not yet written. */
  get bytes(): number {
    return this.#bytes + this.#pending.size;
  }

  /** The bytes of an earlier download, in order. */
  async *kept(): AsyncGenerator<Uint8Array, void, void> {
    const end = this.#bytes;
    for (let at = 0; at < end;) {
      const buffer = Buffer.allocUnsafe(Math.min(ingestLimits.readBytes, end - at));
      const position = at;
      const { bytesRead } = await this.#inPool(() => this.#file.read(buffer, 0, buffer.length, position));
      if (bytesRead === 0) return;
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  }

  /**
   * Adds the next bytes; the caller must not change them later. Waits only if the previous batch is still being
   * written.
   */
  async write(piece: Uint8Array): Promise<void> {
    if (this.#isBroken) return;
    this.#pending.append(piece);
    if (this.#pending.size < ingestLimits.batchBytes) return;
    // one write at a time, so that the file has the first bytes of the blob even if the process is killed
    await this.#writing;
    this.#flush();
  }

  /** Discards what was written: it was not the blob. */
  async restart(): Promise<void> {
    this.#pending.clear();
    await this.#writing;
    this.#bytes = 0;
    if (this.#isBroken) return;
    await this.#inPool(() => this.#file.truncate(0)).catch((error: unknown) => this.#giveUp(error));
  }

  /** Writes the rest and closes the file, which stays for the next download. */
  async close(): Promise<void> {
    await this.#writing;
    this.#flush();
    await this.#writing;
    const { directory, path } = this.#target;
    await closeInPool(directory, this.#file).catch(() => undefined);
    if (this.#isBroken) await this.#inPool(() => removeFile(path)).catch(() => undefined);
    this.#target.release();
  }

  #flush(): void {
    if (this.#isBroken || this.#pending.size === 0) return;
    const at = this.#bytes;
    this.#bytes += this.#pending.size;
    this.#writing = this.#writeAll(this.#pending.takeAll(), at).catch((error: unknown) =>
      this.#giveUp(error),
    );
  }

  async #writeAll(bytes: Uint8Array, at: number): Promise<void> {
    if (!this.#space.spend(bytes.length)) this.#space.renew(await this.#target.facts());
    // a write to a nearly full disk can be partial; writing the rest then reports the error
    for (let done = 0; done < bytes.length;) {
      const { bytesWritten } = await this.#inPool(() =>
        this.#file.write(bytes, done, bytes.length - done, at + done),
      );
      done += bytesWritten;
    }
  }

  #inPool<T>(call: () => Promise<T>): Promise<T> {
    return inPool(this.#target.directory, call);
  }

  #giveUp(error: unknown): void {
    this.#isBroken = true;
    this.#pending.clear();
    this.#target.log.warn(
      { path: this.#target.path, reason: toFault(error).message },
      'stopped keeping partial layer download; a retry starts over',
    );
  }
}
