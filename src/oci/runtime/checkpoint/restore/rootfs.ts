/**
 * Applies a container's changes to its new root file system: writes changed files and removes deleted ones. All
 * access goes through descriptors below the root (S18, S54), so paths and links in the archive cannot lead out of it.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { unpackLimits } from '../../../bounds.ts';
import { checkpointLimits } from '../../bounds.ts';
import { O_CLOEXEC, O_RDONLY } from '../../../../host/ffi/constants.ts';
import type { SpaceGuard } from '../../../../host/files/free-space.ts';
import type { TarEntry } from '../../../layers/tar-entry.ts';
import type { ByteString } from '../../../../base/byte-string.ts';
import type { TarSink } from '../../../layers/tar-reader.ts';
import { LayerApplier } from '../../../layers/unpack-apply.ts';
import { entryTarget, plainPath, splitPath } from '../../../layers/unpack-path.ts';
import type { LayerPath } from '../../../layers/unpack-path.ts';
import { LayerRoot } from '../../../layers/unpack-root.ts';
import { LayerStream } from '../../../layers/unpack-stream.ts';
import { listDirectory } from '../../../trees/entry-calls.ts';
import { removeTreeAt } from '../../../trees/remove-tree.ts';
import { FILES } from '../../../documents/checkpoint-documents.ts';
import { asRequestFault, refuseArchive } from './members.ts';

/** Applies the tar of changed files to the mounted root file system `root`, as far as `space` allows. */
export async function applyChanges(path: string, root: number, space: SpaceGuard): Promise<void> {
  space.ask();
  const sink = new ChangeSink(root, space);
  const stream = new LayerStream(sink, {
    entries: unpackLimits.entries,
    layerBytes: checkpointLimits.archiveBytes,
  });
  const fd = openSync(path, O_RDONLY | O_CLOEXEC);
  try {
    const piece = Buffer.alloc(checkpointLimits.pieceBytes);
    await asRequestFault(async () => {
      for (let read = readSync(fd, piece); read > 0; read = readSync(fd, piece))
        await stream.write(piece.subarray(0, read));
      await stream.end();
      sink.complete();
    });
  } finally {
    stream.destroy();
    sink.close();
    closeSync(fd);
  }
}

/**
 * Applies entries as those of an image layer, but to a root in use: whiteouts (in containerd's archives) delete
 * files.
 */
class ChangeSink implements TarSink {
  readonly #root: number;
  readonly #space: SpaceGuard;
  #applier: LayerApplier;
  #isTaken = false;

  constructor(root: number, space: SpaceGuard) {
    this.#root = root;
    this.#space = space;
    this.#applier = new LayerApplier(root, space);
  }

  begin(entry: TarEntry): void {
    const place = entryTarget(entry.name);
    this.#isTaken = place.kind === 'root' || place.kind === 'entry';
    if (this.#isTaken) this.#applier.begin(entry);
    else if (place.kind === 'whiteout') this.#afresh(() => removeAt(this.#root, place.parent, place.name));
    else if (place.kind === 'opaque') this.#afresh(() => emptyAt(this.#root, place.parent));
  }

  data(bytes: Uint8Array, position: number): void {
    if (this.#isTaken) this.#applier.data(bytes, position);
  }

  finish(): void {
    if (this.#isTaken) this.#applier.finish();
  }

  complete(): void {
    this.#applier.complete();
  }

  close(): void {
    this.#applier.close();
  }

  /** Renews the applier, which keeps directories open: one of them may be removed. */
  #afresh(remove: () => void): void {
    this.#applier.complete();
    this.#applier.close();
    remove();
    this.#applier = new LayerApplier(this.#root, this.#space);
  }
}

/** Removes the files in the list (`deleted.files`: a JSON array of absolute paths). */
export function removeDeleted(list: string, root: number): void {
  let paths: unknown;
  try {
    paths = JSON.parse(list);
  } catch {
    return refuseArchive(`${FILES.deleted} is not JSON`);
  }
  if (!Array.isArray(paths) || paths.length > checkpointLimits.changedFiles)
    return refuseArchive(`${FILES.deleted} is not a list of at most ${checkpointLimits.changedFiles} paths`);
  for (const path of paths as readonly unknown[]) {
    const plain = typeof path === 'string' ? plainPath(Buffer.from(path, 'utf8').toString('latin1')) : '';
    if (plain === '') refuseArchive(`${FILES.deleted} has an entry that is not the path of a file`);
    const { parent, name } = splitPath(plain);
    removeAt(root, parent, name);
  }
}

function removeAt(root: number, parent: LayerPath, name: ByteString): void {
  inDirectory(root, parent, (fd) => removeTreeAt(fd, name));
}

function emptyAt(root: number, directory: LayerPath): void {
  inDirectory(root, directory, (fd) => {
    for (const { name } of listDirectory(fd)) removeTreeAt(fd, name);
  });
}

/** Does nothing if the directory does not exist. */
function inDirectory(root: number, path: LayerPath, work: (fd: number) => void): void {
  const below = new LayerRoot(root);
  try {
    const fd = below.existing(path);
    if (fd !== undefined) work(fd);
  } finally {
    below.close();
  }
}
