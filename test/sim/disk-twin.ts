/**
 * The Disk port over the model. Every operation goes through `via`, which decides when it happens and how it answers.
 */
import type { DiskFile, DiskPort } from '../../src/ports/disk.ts';
import type { DiskModel, Inode } from './disk-model.ts';

/**
 * Runs the effect of one disk operation, or refuses it; `sync` has a kind of its own, since its failure drops pages.
 */
export type DiskVia = <T>(operation: string, effect: () => T, failed?: () => never) => Promise<T>;

/** The port. */
export function diskTwin(model: DiskModel, via: DiskVia): DiskPort {
  const file = (inode: Inode): DiskFile => ({
    append: (bytes) => {
      // the caller may reuse its buffer once the call has returned
      const copy = new Uint8Array(bytes);
      return via('append', () => model.append(inode, copy));
    },
    sync: () =>
      via(
        'sync',
        () => model.sync(inode),
        () => model.failSync(inode),
      ),
    size: () => via('size', () => inode.cache.length),
    close: () => via('close', () => undefined),
  });
  return {
    list: () => via('list', () => model.list()),
    read: (name) => via('read', () => model.read(name)),
    create: (name) => via('create', () => file(model.create(name))),
    openAt: (name, length) => via('openAt', () => file(model.openAt(name, length))),
    writeAgain: (name, bytes) => {
      const copy = new Uint8Array(bytes);
      return via('writeAgain', () => model.writeAgain(name, copy));
    },
    rename: (from, to) => via('rename', () => model.rename(from, to)),
    unlink: (name) => via('unlink', () => model.unlink(name)),
    syncDirectory: () => via('syncDirectory', () => model.syncDirectory()),
  };
}
