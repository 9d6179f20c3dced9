/**
 * The members of an archive that mean something, in an archive's file or in a directory with the same. Whoever made it
 * chose names, sizes and order: each known name is taken once and as a plain file, and what is not known is passed over.
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
import type { Place } from './protocol.ts';

/** A file that is being taken. */
export interface Target {
  write(bytes: Uint8Array, position: number): void;
  /** All bytes were written; a file may end in a hole. */
  end(): void;
}

/** Who takes members. */
export interface Taker {
  /** True when nothing more is wanted. */
  readonly isDone: boolean;
  /** A description, or the list of deleted files. */
  document(name: string, text: string): void;
  /** What was written into the root file system, or a file of CRIU's by its name alone; undefined when it is not wanted. */
  file(kind: 'rootfs' | 'image', name: string, size: number): Target | undefined;
}

type Kind = { readonly kind: 'document'; readonly bytesMax: number } | { readonly kind: 'rootfs' | 'image' };

const DOCUMENTS: Readonly<Record<string, number>> = {
  [FILES.config]: checkpointLimits.documentBytes,
  [FILES.spec]: checkpointLimits.documentBytes,
  [FILES.deleted]: checkpointLimits.deletedBytes,
};
/** CRIU's own names (`core-1.img`, `pages-1.img`, `tmpfs-dev-90.tar.gz.img`), and runc's descriptors.json beside them. */
const IMAGE = /^[A-Za-z0-9][A-Za-z0-9._-]{0,200}$/u;

/** Gives the taker what is there. Throws `invalidRequest` for what is no archive of a checkpoint. */
export function readMembers(place: Place, taker: Taker): Promise<void> {
  return asked(() =>
    'archive' in place ? readArchive(place.archive, taker) : readDirectory(place.directory, taker),
  );
}

/** What reading a tar throws, as the fault of whoever named the archive. */
export async function asked(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    // an archive that is wrong is the request's fault; what the system says is not
    if (error instanceof FaultError && error.fault.kind === 'outside')
      throw new FaultError({ ...error.fault, kind: 'invalidRequest' });
    throw error;
  }
}

/** Undefined for a name that means nothing; a name that means something is a file or refused. */
function kindOf(name: string, isFile: boolean): Kind | undefined {
  const kind = meaningOf(name);
  if (kind !== undefined && !isFile) refuse(`${name} is no plain file`);
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

/** Each name once: of two, programs differ in which they take. */
class Members {
  readonly #taker: Taker;
  readonly #taken = new Set<string>();
  #bytes = 0;

  constructor(taker: Taker) {
    this.#taker = taker;
  }

  open(name: string, size: number, isFile: boolean): Target | undefined {
    const kind = kindOf(name, isFile);
    if (kind === undefined) return undefined;
    if (this.#taken.has(name)) refuse(`it holds ${name} twice`);
    this.#taken.add(name);
    this.#bytes += size;
    if (this.#bytes > checkpointLimits.archiveBytes)
      fail('exhausted', `read checkpoint: its files have more than ${checkpointLimits.archiveBytes} bytes`, {
        retryable: false,
      });
    if (kind.kind === 'document') return this.#document(name, size, kind.bytesMax);
    return this.#taker.file(kind.kind, name.slice(name.lastIndexOf('/') + 1), size);
  }

  #document(name: string, size: number, bytesMax: number): Target {
    if (size > bytesMax) refuse(`${name} has ${size} bytes, more than ${bytesMax}`);
    const bytes = Buffer.alloc(size);
    return {
      write: (piece, position) => bytes.set(piece, position),
      end: () => this.#taker.document(name, bytes.toString('utf8')),
    };
  }
}

/** The archive's file is read to its end, or until nothing more is wanted. */
async function readArchive(path: string, taker: Taker): Promise<void> {
  const members = new Members(taker);
  let target: Target | undefined;
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
      // the decompressor keeps what it is given until it is through
      await stream.write(piece.subarray(0, read));
    }
    if (!taker.isDone) await stream.end();
  } finally {
    stream.destroy();
    closeSync(fd);
  }
}

/** Links are followed, since the request named the path; a FIFO would hang, and a device has no end (S10). */
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
  return refuse(`${path} is no plain file`);
}

/** What an image holds: links in it may lead anywhere, so that none is followed. */
async function readDirectory(path: string, taker: Taker): Promise<void> {
  const members = new Members(taker);
  const root = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    for (const name of [...Object.keys(DOCUMENTS), FILES.rootfs]) readMember(root, name, members);
    if (taker.isDone) return;
    const images =
      existing(root, FILES.images, O_RDONLY | O_DIRECTORY) ?? refuse(`it has no directory ${FILES.images}`);
    try {
      for (const { name } of listDirectory(images)) readMember(root, `${FILES.images}/${name}`, members);
    } finally {
      closeSync(images);
    }
  } finally {
    closeSync(root);
  }
}

function readMember(root: number, name: string, members: Members): void {
  if (meaningOf(name) === undefined) return;
  const fd = existing(root, name, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (fd === undefined) return;
  try {
    const stats = fstatSync(fd);
    const target = members.open(name, stats.size, stats.isFile());
    const piece = Buffer.alloc(checkpointLimits.pieceBytes);
    for (let position = 0; target !== undefined && position < stats.size;) {
      const read = readSync(fd, piece, 0, Math.min(piece.length, stats.size - position), position);
      if (read === 0) refuse(`${name} ends before its size`);
      target.write(piece.subarray(0, read), position);
      position += read;
    }
    target?.end();
  } finally {
    closeSync(fd);
  }
}

/** Undefined when there is none; a link at or on the way to it is refused. */
function existing(root: number, name: string, flags: number): number | undefined {
  try {
    return openBeneath(root, name, flags, 0, 'noLinks');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    return refuse(`${name} can't be opened: ${codeOf(error) ?? 'unknown error'}`);
  }
}

/** Throws the fault of what is no checkpoint. */
export function refuse(reason: string): never {
  return fail('invalidRequest', `read checkpoint: ${reason}`);
}
