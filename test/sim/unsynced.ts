/** What a power loss does to the disk below layers, root file systems and downloads: writes that it had not got yet. */
import type { Random } from './random.ts';

export interface Rootfs {
  mounted: boolean;
  readonly layers: readonly string[];
  /** Files that the container wrote. */
  files: number;
}

/** Milliseconds after which a deletion is on the disk without anybody's sync: ext4 and btrfs take up to 30 s. */
const UNSYNCED_MS = 30_000;

interface OnDisk {
  readonly rootfs: Map<string, Rootfs>;
  readonly layers: Set<string>;
  readonly ingests: Map<string, number>;
}

export class Unsynced {
  /** Off in the sweep of crash points, whose list would depend on chance. */
  isLossy = false;
  /** Deleted, and when, virtual milliseconds. */
  readonly rootfs = new Map<string, { readonly rootfs: Rootfs; readonly atMs: number }>();
  readonly layers = new Map<string, number>();
  /** Root file systems that came back: no record has to know them, and none may be left at the end. */
  readonly back = new Set<string>();
  /** Blobs of which the disk has lost a part without saying so. */
  readonly tornIngests = new Set<string>();
  readonly lost = {
    rootfsBack: 0,
    layerBack: 0,
    ingestCut: 0,
    ingestTorn: 0,
    tornFound: 0,
    endedWithTarget: 0,
  };

  losePower(disk: OnDisk, nowMs: number, random: Random): void {
    if (!this.isLossy) return;
    const isBack = (atMs: number): boolean => nowMs - atMs < UNSYNCED_MS && random.chance(0.3);
    for (const [id, { rootfs, atMs }] of this.rootfs) {
      if (!isBack(atMs)) continue;
      this.lost.rootfsBack += 1;
      this.back.add(id);
      disk.rootfs.set(id, { ...rootfs, mounted: false });
    }
    for (const [diffId, atMs] of this.layers) {
      if (disk.layers.has(diffId) || !isBack(atMs)) continue;
      this.lost.layerBack += 1;
      disk.layers.add(diffId);
    }
    this.rootfs.clear();
    this.layers.clear();
    for (const [digest, bytes] of disk.ingests) {
      if (random.chance(0.3)) {
        this.lost.ingestCut += 1;
        disk.ingests.set(digest, random.int(bytes + 1));
      }
      if (!random.chance(0.2)) continue;
      this.lost.ingestTorn += 1;
      this.tornIngests.add(digest);
    }
  }
}
