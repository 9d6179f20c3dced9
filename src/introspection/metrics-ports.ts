/** The journal's disk port with a measurement of its syncs. */
import type { DiskFile, DiskPort } from '../ports/disk.ts';
import type { ClockPort } from '../ports/clock.ts';

/** Wraps the disk; calls `observe` with the duration of each sync, and whether it succeeded. */
export function meteredDisk(
  disk: DiskPort,
  clock: Pick<ClockPort, 'monoMs'>,
  observe: (ms: number, isOk: boolean) => void,
): DiskPort {
  const metered = (file: DiskFile): DiskFile => ({
    append: (bytes) => file.append(bytes),
    size: () => file.size(),
    close: () => file.close(),
    sync: async () => {
      const since = clock.monoMs();
      let isOk = false;
      try {
        await file.sync();
        isOk = true;
      } finally {
        observe(clock.monoMs() - since, isOk);
      }
    },
  });
  return {
    list: () => disk.list(),
    read: (name) => disk.read(name),
    rename: (from, to) => disk.rename(from, to),
    unlink: (name) => disk.unlink(name),
    syncDirectory: () => disk.syncDirectory(),
    create: async (name) => metered(await disk.create(name)),
    writeAgain: (name, bytes) => disk.writeAgain(name, bytes),
    openAt: async (name, length) => metered(await disk.openAt(name, length)),
  };
}
