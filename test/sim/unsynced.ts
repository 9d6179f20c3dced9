/**
 * What a power loss does to the disk below layers, root file systems, downloads, leases, CNI results and signatures:
 * writes that it had not got yet.
 */
import type { Random } from './random.ts';

export interface Rootfs {
  mounted: boolean;
  readonly layers: readonly string[];
  /** Files that the container wrote. */
  files: number;
}

/** Milliseconds after which a change is on the disk without anybody's sync: ext4 and btrfs take up to 30 s. */
const UNSYNCED_MS = 30_000;

interface OnDisk {
  readonly rootfs: Map<string, Rootfs>;
  readonly layers: Set<string>;
  readonly ingests: Map<string, number>;
  readonly leases: Map<string, string>;
  readonly kept: Set<string>;
  readonly results: Map<string, number>;
  readonly signatures: Map<string, Signatures>;
}

/** Kept signatures of an image. */
export interface Signatures {
  /** When they were written, virtual milliseconds. */
  readonly atMs: number;
  /** The file has its name and a part of its bytes. */
  isTorn: boolean;
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
  /** Addresses whose lease was deleted: its owner, and when. host-local syncs nothing. */
  readonly leases = new Map<string, { readonly owner: string; readonly atMs: number }>();
  /** When each address was leased last. */
  readonly leasedMs = new Map<string, number>();
  /** Leases are files of host-local; other networks keep theirs in a database, or sync. */
  hasLeaseFiles = false;
  /** The mutant: DEL does not sync the deletion of its attachment. */
  forgetsUnsynced = false;
  /** Attachments that the mutant has deleted, and when. */
  readonly kept = new Map<string, number>();
  readonly lost = {
    leaseBack: 0,
    leaseEmptied: 0,
    resultLost: 0,
    signatureLost: 0,
    signatureTorn: 0,
    signatureFetched: 0,
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
    this.#loseNetwork(disk, nowMs, random);
    for (const [id, { atMs }] of disk.signatures) {
      if (!isBack(atMs)) continue;
      if (random.chance(0.5)) {
        this.lost.signatureLost += 1;
        disk.signatures.delete(id);
      } else {
        this.lost.signatureTorn += 1;
        disk.signatures.set(id, { atMs, isTorn: true });
      }
    }
    for (const [digest, bytes] of disk.ingests) {
      if (random.chance(0.6)) {
        this.lost.ingestCut += 1;
        disk.ingests.set(digest, random.int(bytes + 1));
      }
      if (!random.chance(0.2)) continue;
      this.lost.ingestTorn += 1;
      this.tornIngests.add(digest);
    }
  }

  /** Leases come back, or lose their owner; the answers of ADD are lost; the intents are synced. */
  #loseNetwork(disk: OnDisk, nowMs: number, random: Random): void {
    const isOpen = (atMs: number): boolean => nowMs - atMs < UNSYNCED_MS && random.chance(0.3);
    if (this.hasLeaseFiles) this.#loseLeases(disk.leases, isOpen);
    for (const [id, atMs] of disk.results) {
      if (!isOpen(atMs)) continue;
      this.lost.resultLost += 1;
      disk.results.delete(id);
    }
    for (const [id, atMs] of this.kept) if (isOpen(atMs)) disk.kept.add(id);
    this.leases.clear();
    this.kept.clear();
  }

  #loseLeases(leases: Map<string, string>, isOpen: (atMs: number) => boolean): void {
    for (const address of leases.keys()) {
      if (!isOpen(this.leasedMs.get(address) ?? -Infinity)) continue;
      this.lost.leaseEmptied += 1;
      leases.set(address, '');
    }
    for (const [address, { owner, atMs }] of this.leases) {
      if (leases.has(address) || !isOpen(atMs)) continue;
      this.lost.leaseBack += 1;
      leases.set(address, owner);
    }
  }
}
