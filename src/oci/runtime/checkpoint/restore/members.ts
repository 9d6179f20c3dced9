/**
 * Reads the known members of a checkpoint, from an archive's file or from a directory with the same content. Names,
 * sizes and order are untrusted: each known name is accepted once and only as a regular file; unknown ones are
 * skipped.
 */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { fail, FaultError } from '../../../../base/fault.ts';
import { checkpointLimits } from '../../bounds.ts';
import { codeOf } from '../../../../host/ffi/errno.ts';
import { O_CLOEXEC, O_DIRECTORY, O_NONBLOCK, O_NOCTTY, O_RDONLY } from '../../../../host/ffi/constants.ts';
import { openBeneath } from '../../../../host/files/files-at.ts';
import type { TarEntry } from '../../../layers/tar-entry.ts';
import type { TarSink } from '../../../layers/tar-reader.ts';
import { plainPath } from '../../../layers/unpack-path.ts';
import { LayerStream } from '../../../layers/unpack-stream.ts';
import { listDirectory } from '../../../trees/entry-calls.ts';
import { FILES } from '../../../documents/checkpoint-documents.ts';
import type { ArchiveSource } from './protocol.ts';

/** A file that is being written. */
export interface MemberTarget {
  write(bytes: Uint8Array, position: number): void;
  /** All bytes were written; a file may end with a hole. */
  end(): void;
}

/** Receives members. */
export interface Taker {
  /** True when no further member is needed. */
  readonly isDone: boolean;
  /** A description, or the list of deleted files. */
  document(name: string, text: string): void;
  /** The tar of changed files, or a file of CRIU's by its base name; undefined to skip it. */
  file(kind: 'rootfs' | 'image', name: string, size: number): MemberTarget | undefined;
}

type Kind = { readonly kind: 'document'; readonly bytesMax: number } | { readonly kind: 'rootfs' | 'image' };

const DOCUMENTS: Readonly<Record<string, number>> = {
  [FILES.config]: checkpointLimits.documentBytes,
  [FILES.spec]: checkpointLimits.documentBytes,
  [FILES.deleted]: checkpointLimits.deletedBytes,
};
/** CRIU's names (`core-1.img`, `pages-1.img`, `tmpfs-dev-90.tar.gz.img`), and runc's descriptors.json beside them. */
const IMAGE = /^[A-Za-z0-9][A-Za-z0-9._-]{0,200}$/u;

/** Passes all known members to `taker`. Throws `invalidRequest` if it is not the archive of a checkpoint. */
export function readMembers(source: ArchiveSource, taker: Taker): Promise<void> {
  return asRequestFault(() =>
    'archive' in source ? readArchive(source.archive, taker) : readDirectory(source.directory, taker),
  );
}

/** Runs `work` and turns errors about the archive's content into `invalidRequest`. */
export async function asRequestFault(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    // an invalid archive is the client's error; errors of the system are not
    if (error instanceof FaultError && error.fault.kind === 'outside')
      throw new FaultError({ ...error.fault, kind: 'invalidRequest' });
    throw error;
  }
}

/** Undefined for an unknown name. A known name that is not a regular file is refused. */
function kindOf(name: string, isFile: boolean): Kind | undefined {
  const kind = meaningOf(name);
  if (kind !== undefined && !isFile) refuseArchive(`${name} is not a regular file`);
  return kind;
}

function meaningOf(name: string): Kind | undefined {
  const bytesMax = Object.hasOwn(DOCUMENTS, name) ? DOCUMENTS[name] : undefined;
  if (bytesMax !== undefined) return { kind: 'document', bytesMax };
  if (name === FILES.rootfs) return { kind: 'rootfs' };
  return name.startsWith(`${FILES.images}/`) && IMAGE.test(name.slice(FILES.images.length + 1))
    ? { kind: 'image' }
    : undefined;
}

/** Accepts each name once: with duplicates, programs differ in which one they use. */
class ArchiveMembers {
  readonly #taker: Taker;
  readonly #taken = new Set<string>();
  #bytes = 0;

  constructor(taker: Taker) {
    this.#taker = taker;
  }

  open(name: string, size: number, isFile: boolean): MemberTarget | undefined {
    const kind = kindOf(name, isFile);
    if (kind === undefined) return undefined;
    if (this.#taken.has(name)) refuseArchive(`duplicate member ${name}`);
    this.#taken.add(name);
    this.#bytes += size;
    if (this.#bytes > checkpointLimits.archiveBytes)
      fail('exhausted', `read checkpoint: more than ${checkpointLimits.archiveBytes} bytes of files`, {
        retryable: false,
      });
    if (kind.kind === 'document') return this.#document(name, size, kind.bytesMax);
    return this.#taker.file(kind.kind, name.slice(name.lastIndexOf('/') + 1), size);
  }

  #document(name: string, size: number, bytesMax: number): MemberTarget {
    if (size > bytesMax) refuseArchive(`${name} has ${size} bytes, more than ${bytesMax}`);
    const bytes = Buffer.alloc(size);
    return {
      write: (piece, position) => bytes.set(piece, position),
      end: () => this.#taker.document(name, bytes.toString('utf8')),
    };
  }
}

/** Reads the archive's file to its end, or until no further member is needed. */
async function readArchive(path: string, taker: Taker): Promise<void> {
  const members = new ArchiveMembers(taker);
  let target: MemberTarget | undefined;
  const sink: TarSink = {
    begin: ({ name, type, size }: TarEntry) => {
      const plain = plainPath(name);
      target =
        type === 'directory' && plain === FILES.images
          ? undefined
          : members.open(plain, size, type === 'file');
    },
    data: (bytes, position) => target?.write(bytes, position),
    finish: () => target?.end(),
  };
  const fd = openFile(path);
  const stream = new LayerStream(sink, {
    entries: checkpointLimits.archiveEntries,
    layerBytes: checkpointLimits.archiveBytes,
  });
  try {
    const piece = Buffer.alloc(checkpointLimits.pieceBytes);
    for (let read = readSync(fd, piece); read > 0 && !taker.isDone; read = readSync(fd, piece)) {
      // `piece` is reused: write resolves once the decompressor has consumed it
      await stream.write(piece.subarray(0, read));
    }
    if (!taker.isDone) await stream.end();
  } finally {
    stream.destroy();
    closeSync(fd);
  }
}

/**
 * Symbolic links are followed, since the request named the path. A FIFO would block and a device may be endless: both
 * are refused (S10).
 */
function openFile(path: string): number {
  let fd: number;
  try {
    fd = openSync(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  } catch (error) {
    return fail('invalidRequest', `read checkpoint ${path}: ${codeOf(error) ?? 'unknown error'}`, {
      subject: path,
    });
  }
  if (fstatSync(fd).isFile()) return fd;
  closeSync(fd);
  return refuseArchive(`${path} is not a regular file`);
}

/** Reads the content of an image: its symbolic links may lead anywhere, so none is followed. */
async function readDirectory(path: string, taker: Taker): Promise<void> {
  const members = new ArchiveMembers(taker);
  const root = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    for (const name of [...Object.keys(DOCUMENTS), FILES.rootfs]) readMember(root, name, members);
    if (taker.isDone) return;
    const images =
      existing(root, FILES.images, O_RDONLY | O_DIRECTORY) ??
      refuseArchive(`no directory ${FILES.images} in the image`);
    try {
      for (const { name } of listDirectory(images)) readMember(root, `${FILES.images}/${name}`, members);
    } finally {
      closeSync(images);
    }
  } finally {
    closeSync(root);
  }
}

function readMember(root: number, name: string, members: ArchiveMembers): void {
  if (meaningOf(name) === undefined) return;
  const fd = existing(root, name, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (fd === undefined) return;
  try {
    const stats = fstatSync(fd);
    const target = members.open(name, stats.size, stats.isFile());
    const piece = Buffer.alloc(checkpointLimits.pieceBytes);
    for (let position = 0; target !== undefined && position < stats.size;) {
      const read = readSync(fd, piece, 0, Math.min(piece.length, stats.size - position), position);
      if (read === 0) refuseArchive(`${name} is shorter than its size`);
      target.write(piece.subarray(0, read), position);
      position += read;
    }
    target?.end();
  } finally {
    closeSync(fd);
  }
}

/** Opens a member; undefined if it does not exist. Symbolic links in its path are refused. */
function existing(root: number, name: string, flags: number): number | undefined {
  try {
    return openBeneath(root, name, flags, 0, 'noLinks');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    return refuseArchive(`${name} cannot be opened: ${codeOf(error) ?? 'unknown error'}`);
  }
}

/** Throws `invalidRequest` with this reason. */
export function refuseArchive(reason: string): never {
  return fail('invalidRequest', `read checkpoint: ${reason}`);
}
