// The disk that user-mode Linux writes to: a file with a file system, and the library that records what is done to it.
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runOrThrow } from '../../support/run.ts';
import { unpackedProgram } from '../../support/storage-drivers.ts';
import { cached } from '../../support/tools/cache.ts';
import { JOB_FD } from '../guest-run.ts';

export const fileSystems = ['ext4', 'xfs', 'btrfs'] as const;
export type FileSystem = (typeof fileSystems)[number];

/** Room for all images of the load; sparse. */
const DISK_BYTES = 512 * 1024 * 1024;

const SOURCE = join(import.meta.dirname, 'record-writes.c');

/** The library, built once. */
export async function recorder(): Promise<string> {
  const hash = createHash('sha256').update(readFileSync(SOURCE)).digest('hex').slice(0, 12);
  const directory = await cached(`vm/record-writes-${hash}`, async (work) => {
    await runOrThrow(['cc', '-O2', '-shared', '-fPIC', '-o', join(work, 'record.so'), SOURCE, '-ldl']);
  });
  return join(directory, 'record.so');
}

/** Environment of a guest whose writes to `disk` go to `log`, too. */
export const recording = (library: string, disk: string, log: string): Readonly<Record<string, string>> => ({
  LD_PRELOAD: library,
  TROUPE_RECORD_DISK: disk,
  TROUPE_RECORD_FILE: log,
  TROUPE_RECORD_OUTPUT: String(JOB_FD),
});

/** An empty file system in a new file. */
export async function makeFileSystem(kind: FileSystem, file: string): Promise<void> {
  const disk = await open(file, 'wx');
  await disk.truncate(DISK_BYTES);
  await disk.close();
  const tools = mkdtempSync(join(tmpdir(), 'troupe-power-tools-'));
  try {
    const made = {
      ext4: () => ['mke2fs', '-q', '-F', '-t', 'ext4', '-E', 'lazy_itable_init=0,lazy_journal_init=0', file],
      xfs: () => [unpackedProgram('xfsprogs', tools, 'sbin/mkfs.xfs', 'usr/sbin/mkfs.xfs'), '-q', '-f', file],
      btrfs: () => [
        unpackedProgram('btrfs-progs', tools, 'sbin/mkfs.btrfs', 'usr/sbin/mkfs.btrfs'),
        '-q',
        file,
      ],
    }[kind]();
    await runOrThrow(made, { timeoutMs: 300_000 });
  } finally {
    await runOrThrow(['rm', '-rf', tools]);
  }
}
