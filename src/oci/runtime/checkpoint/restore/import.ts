/**
 * Imports an archive: CRIU's files go to a directory of ours, and the container's changes to its new root file
 * system.
 */
import {
  closeSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  statfsSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { O_CLOEXEC, O_DIRECTORY, O_RDONLY } from '../../../../host/ffi/constants.ts';
import { SpaceGuard } from '../../../../host/files/free-space.ts';
import type { FilesystemFacts } from '../../../../host/files/free-space.ts';
import { createFileAt } from '../../../trees/entry-calls.ts';
import { FILES } from '../../../documents/checkpoint-documents.ts';
import { descriptionsIn, digestOf } from './describe.ts';
import { demandMachine, isCore } from './machine-type.ts';
import { asRequestFault, readMembers, refuseArchive } from './members.ts';
import type { Taker, MemberTarget } from './members.ts';
import type { ImportOrder } from './protocol.ts';
import { applyChanges, removeDeleted } from './rootfs.ts';

/** CRIU writes it with every dump (images/inventory.proto): a dump without it is incomplete. */
const INVENTORY = 'inventory.img';

type FactsOf = (path: string) => FilesystemFacts;

/**
 * Throws `invalidRequest` if it is not a checkpoint or not the one described, and `exhausted` when the reserved disk
 * space would be used. The caller undoes what was made.
 */
export async function unpackArchive(
  { source, digest, into, rootfs }: ImportOrder,
  factsOf: FactsOf = (path) => statfsSync(path),
): Promise<void> {
  const space = new SpaceGuard(into, () => factsOf(into));
  space.ask();
  const intake = new ImportTaker(into, space);
  try {
    await readMembers(source, intake);
    if (digestOf(descriptionsIn(intake.texts)) !== digest)
      refuseArchive('not the checkpoint that was described');
    if (!intake.images.has(INVENTORY)) refuseArchive(`no ${FILES.images}/${INVENTORY} in the archive`);
    for (const name of intake.images)
      if (isCore(name)) demandMachine(join(into, FILES.images, name), process.arch);
  } finally {
    intake.close();
  }
  await changeRootfs(join(into, FILES.rootfs), intake, rootfs, new SpaceGuard(rootfs, () => factsOf(rootfs)));
}

/** Deleted files come last: a file in both lists is deleted, as in containerd and CRI-O. */
async function changeRootfs(
  changes: string,
  intake: ImportTaker,
  rootfs: string,
  space: SpaceGuard,
): Promise<void> {
  const root = openSync(rootfs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  try {
    if (intake.hasChanges) {
      await applyChanges(changes, root, space);
      unlinkSync(changes);
    }
    await asRequestFault(async () => removeDeleted(intake.texts.get(FILES.deleted) ?? '[]', root));
  } finally {
    closeSync(root);
  }
}

class ImportTaker implements Taker {
  readonly isDone = false;
  readonly texts = new Map<string, string>();
  /** Names of CRIU's files. */
  readonly images = new Set<string>();
  hasChanges = false;
  readonly #root: number;
  readonly #images: number;
  readonly #space: SpaceGuard;
  #open: number | undefined;

  constructor(into: string, space: SpaceGuard) {
    this.#space = space;
    mkdirSync(join(into, FILES.images), { mode: 0o700 });
    this.#root = openSync(into, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    this.#images = openSync(join(into, FILES.images), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  }

  document(name: string, text: string): void {
    this.texts.set(name, text);
  }

  file(kind: 'rootfs' | 'image', name: string, size: number): MemberTarget {
    if (kind === 'rootfs') this.hasChanges = true;
    else this.images.add(name);
    const fd = createFileAt(kind === 'rootfs' ? this.#root : this.#images, name);
    this.#open = fd;
    return {
      write: (bytes, position) => {
        this.#space.take(bytes.length, 0);
        for (let done = 0; done < bytes.length;)
          done += writeSync(fd, bytes, done, bytes.length - done, position + done);
      },
      end: () => {
        if (fstatSync(fd).size < size) ftruncateSync(fd, size);
        this.#open = undefined;
        closeSync(fd);
      },
    };
  }

  close(): void {
    for (const fd of [this.#open, this.#images, this.#root]) if (fd !== undefined) closeSync(fd);
  }
}
