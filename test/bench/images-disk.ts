// A file system for one pull. Both sides get a new ext4 on a loop device each time: nobody else's writes wait for its
// sync, and nothing was ever deleted on it. An ext4 without a journal passes over inodes that were freed in the last
// minutes one by one (at least 60 s; recently_deleted() in fs/ext4/ialloc.c): with an image removed just before, the
// next pull took up to five times as long, whoever pulled.
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { run, runOrThrow } from '../support/run.ts';

const MEGABYTE = 1024 * 1024;
/** skopeo has blobs and files on it at once: 450 MB. */
const SIZE_MB = 2048;

/**
 * The file below a file system; the same blocks serve each time, so that none has to be found for it while it is
 * measured.
 */
export class BenchDisk {
  readonly #file: string;

  /** @param directory of its owner, who removes it after `unmount` */
  static async make(directory: string): Promise<BenchDisk> {
    const path = join(directory, 'disk.img');
    const file = await open(path, 'wx');
    try {
      const zeros = Buffer.alloc(MEGABYTE);
      for (let done = 0; done < SIZE_MB; done += 1) await file.write(zeros);
    } finally {
      await file.close();
    }
    return new BenchDisk(path);
  }

  private constructor(file: string) {
    this.#file = file;
  }

  /** A new, empty file system at `mountPoint`, all its tables written. */
  async mount(mountPoint: string): Promise<void> {
    if ((await this.#device()) !== '')
      throw new Error(`bench images: ${this.#file} is still mounted somewhere`);
    await runOrThrow([
      'mke2fs',
      '-q',
      '-F',
      '-t',
      'ext4',
      '-E',
      'nodiscard,lazy_itable_init=0,lazy_journal_init=0',
      this.#file,
    ]);
    await runOrThrow(['mount', '-o', 'loop', this.#file, mountPoint]);
    // what is written goes to the disk below it, not into the page cache a second time
    await runOrThrow(['losetup', '--direct-io=on', await this.#device()]);
  }

  /** Its loop device goes with it. */
  async unmount(mountPoint: string): Promise<void> {
    await run(['umount', mountPoint]);
  }

  async #device(): Promise<string> {
    return (
      await runOrThrow(['losetup', '--noheadings', '--output', 'NAME', '--associated', this.#file])
    ).trim();
  }
}
