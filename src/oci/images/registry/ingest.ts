/**
 * Bytes of blobs that are under way, so that a download that broke off goes on where it was: at another try, at a mirror,
 * after the daemon was killed (F07, F60). One file per digest and source, since bytes of a blob that is not whole are only
 * the word of whoever sent them: another registry's must not stand in for this one's (S90). A file holds a beginning of
 * its blob and nothing else. It is never synced and never believed: whoever goes on with it hashes it with the rest, and
 * a wrong digest starts anew.
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
  /** Absolute; made with mode 0700 where it is missing. */
  readonly directory: string;
  readonly log: Log;
  /** Where files that can't be deleted are reported; only in the log where it is left out. */
  readonly conditions?: DebrisReport;
  /** Takes a directory away that somebody has put here, and deletes it later. */
  readonly discard?: (path: string) => Promise<void>;
  /** Bytes of the smallest blob that is kept; the built-in bound if left out. */
  readonly leastBytes?: number;
  /** Bytes of all files together, and of those of one namespace; the built-in bounds if left out. */
  readonly mostBytes?: number;
  readonly bytesPerNamespace?: number;
  /** Of the file system of the directory; the kernel's if left out. */
  readonly facts?: (directory: string) => Promise<FilesystemFacts>;
}

/** A blob that comes from somewhere. */
export interface Incoming {
  readonly digest: Digest;
  /** As the manifest says. */
  readonly size: number;
  /** Registry whose bytes they are; '' where there is but one. */
  readonly source: string;
  /** Kubernetes namespace that it is downloaded for, and whose share it takes; left out for nobody in particular. */
  readonly namespace?: string | undefined;
}

/** Digits of a source's hash in a name: 96 bits. */
const SOURCE_HEX = 24;

/** The files of one directory; one object per directory. */
export class Ingests {
  readonly #options: IngestsOptions;
  /** By the names of files that are being written. */
  readonly #active = new Map<string, Incoming>();
  /** For whom each file was written last, since the start of the daemon; of names in the directory. */
  readonly #namespaces = new Map<string, string>();
  readonly #left: LeftDebris;

  constructor(options: IngestsOptions) {
    this.#options = options;
    this.#left = new LeftDebris(options.conditions ?? new Conditions(options.log));
  }

  /**
   * The blob's file, with what an earlier download has left in it. Undefined where nothing is kept: the blob is small,
   * somebody writes this file now, or disk, bounds or the namespace's share have no room to spare. Never rejects, since a pull goes on without it.
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
        'what is downloaded of a layer can not be kept for another try',
      );
    }
    release();
    return undefined;
  }

  /** The blob is not needed any more. Succeeds when there is no file of it; leaves one that is being written. */
  async drop(incoming: Incoming): Promise<void> {
    await this.#drop(nameOf(incoming));
  }

  /** Deletes the files of all other blobs but those that are being written. One that can't be deleted keeps no other. */
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

  /** Whatever has the name, also a directory, unless it is being written. */
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
    // something else in the place of the directory holds no file of ours, and no pull fails for it
    const { directory } = this.#options;
    await inPool(directory, () => removeFile(join(directory, name))).catch(onlyAbsent);
  }

  /** What is kept must neither crowd out the layers that it is for, nor what others keep, nor grow without an end. */
  async #hasRoom(name: string, { size, namespace }: Incoming): Promise<boolean> {
    const { mostBytes = ingestLimits.mostBytes, bytesPerNamespace = ingestLimits.bytesPerNamespace } =
      this.#options;
    const onDisk = await this.#sizes();
    // those that are being written with the size that they will have
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
      // one that has just been deleted counts nothing
      const { size } = await inPool(directory, () => stat(join(directory, name))).catch(() => ({ size: 0 }));
      sizes.set(name, size);
    }
    for (const name of this.#namespaces.keys())
      if (!sizes.has(name) && !this.#active.has(name)) this.#namespaces.delete(name);
    return sizes;
  }
}

/** With the size, which anybody's manifest may state otherwise. */
function nameOf({ digest, size, source }: Incoming): string {
  if (source === '') return hexOf(digest);
  return `${hexOf(digest)}.${createHash('sha256').update(`${size} ${source}`).digest('hex').slice(0, SOURCE_HEX)}`;
}

/** Of the blob whose beginning a file of this name holds; undefined for other names. */
export function ingestedDigest(name: string): Digest | undefined {
  return /^[0-9a-f]{64}(?:\.[0-9a-f]{24})?$/u.test(name)
    ? parseDigest(`sha256:${name.slice(0, 64)}`)
    : undefined;
}

interface IngestPlace {
  readonly path: string;
  /** What the calls may hang on, for libuv's pool. */
  readonly directory: string;
  /** Of the whole blob. */
  readonly size: number;
  readonly log: Log;
  release(): void;
  /** Of its file system, now. */
  facts(): Promise<FilesystemFacts>;
}

/** One blob's file while it is downloaded. A disk that refuses to keep it ends the keeping, never the download. */
export class Ingest {
  readonly #file: FileHandle;
  readonly #place: IngestPlace;
  readonly #pending = new ByteBlocks('keep a download', ingestLimits.pendingBytes);
  /** Bytes in the file, those on their way included. */
  #bytes: number;
  #writing: Promise<void> = Promise.resolve();
  /** Since the file was opened others may have filled the disk: what is unpacked comes before what is kept. */
  readonly #space: SpaceCount;
  #isBroken = false;

  private constructor(file: FileHandle, bytes: number, place: IngestPlace) {
    this.#file = file;
    this.#bytes = bytes;
    this.#place = place;
    this.#space = new SpaceCount(place.directory);
  }

  static async open(place: IngestPlace): Promise<Ingest> {
    const { O_RDWR, O_CREAT, O_NOFOLLOW } = constants;
    const { path, directory } = place;
    const file = await inPool(directory, () => open(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0o600));
    try {
      const { size } = await inPool(directory, () => file.stat());
      // longer than its blob: whatever it is, it is no beginning of it
      if (size > place.size) await inPool(directory, () => file.truncate(0));
      return new Ingest(file, size > place.size ? 0 : size, place);
    } catch (error) {
      await closeInPool(directory, file);
      throw error;
    }
  }

  /** How much of the blob the file holds. */
  get bytes(): number {
    return this.#bytes + this.#pending.size;
  }

  /** What an earlier download has left, in order. */
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

  /** The next bytes, which must not be changed afterwards. Waits only while the disk is far behind. */
  async write(piece: Uint8Array): Promise<void> {
    if (this.#isBroken) return;
    this.#pending.append(piece);
    if (this.#pending.size < ingestLimits.batchBytes) return;
    // one write at a time, so that the file is a beginning of the blob whenever the process dies
    await this.#writing;
    this.#flush();
  }

  /** What was written was not the blob. */
  async restart(): Promise<void> {
    this.#pending.clear();
    await this.#writing;
    this.#bytes = 0;
    if (this.#isBroken) return;
    await this.#inPool(() => this.#file.truncate(0)).catch((error: unknown) => this.#give(error));
  }

  /** Ends the use of the file; it stays for the next download. */
  async close(): Promise<void> {
    await this.#writing;
    this.#flush();
    await this.#writing;
    const { directory, path } = this.#place;
    await closeInPool(directory, this.#file).catch(() => undefined);
    if (this.#isBroken) await this.#inPool(() => removeFile(path)).catch(() => undefined);
    this.#place.release();
  }

  #flush(): void {
    if (this.#isBroken || this.#pending.size === 0) return;
    const at = this.#bytes;
    this.#bytes += this.#pending.size;
    this.#writing = this.#writeAll(this.#pending.takeAll(), at).catch((error: unknown) => this.#give(error));
  }

  async #writeAll(bytes: Uint8Array, at: number): Promise<void> {
    if (!this.#space.spend(bytes.length)) this.#space.renew(await this.#place.facts());
    // a full disk takes a part: the rest is tried once more, which then says why
    for (let done = 0; done < bytes.length;) {
      const { bytesWritten } = await this.#inPool(() =>
        this.#file.write(bytes, done, bytes.length - done, at + done),
      );
      done += bytesWritten;
    }
  }

  #inPool<T>(call: () => Promise<T>): Promise<T> {
    return inPool(this.#place.directory, call);
  }

  #give(error: unknown): void {
    this.#isBroken = true;
    this.#pending.clear();
    this.#place.log.warn(
      { path: this.#place.path, reason: toFault(error).message },
      'what is downloaded of a layer is not kept any more',
    );
  }
}
