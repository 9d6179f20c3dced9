/**
 * The least free space that images leave on a file system: what is unpacked or kept of downloads ends above it, so that the
 * journal, logs and containers on the same one go on, and the kubelet has room to act in (F21, S59).
 */
import { fail } from '../../base/fault.ts';
import { hostLimits } from '../bounds.ts';

/** Of statfs(2), `f_bavail` among them: what is kept for root is nobody's here. */
export interface FilesystemFacts {
  /** Bytes of a block. */
  readonly bsize: number;
  readonly blocks: number;
  readonly bavail: number;
  /** Inodes; 0 where the file system has no number of them (btrfs). */
  readonly files: number;
  readonly ffree: number;
}

const MIB = 1024 * 1024;

/** Bytes that stay free of a file system with `total`: of a small one its share. */
export function leastFreeBytes(total: number): number {
  return Math.min(hostLimits.leastFreeBytes, Math.floor(total / hostLimits.leastFreeShare));
}

/** The same for inodes. */
export function leastFreeInodes(total: number): number {
  return Math.min(hostLimits.leastFreeInodes, Math.floor(total / hostLimits.leastFreeShare));
}

/** Throws `exhausted` where `path` has less free than has to stay free after `bytes` more, with both figures. */
export function demandSpace(
  path: string,
  { bsize, blocks, bavail, files, ffree }: FilesystemFacts,
  bytes = 0,
): void {
  const least = leastFreeBytes(blocks * bsize);
  if (bavail * bsize - bytes < least) {
    refuse(
      path,
      `${mib(bavail * bsize)} MiB are free${bytes < MIB ? '' : ` for ${mib(bytes)} MiB`}, and ${mib(least)} MiB stay free for the journal and for pods`,
    );
  }
  const leastInodes = leastFreeInodes(files);
  if (files > 0 && ffree < leastInodes)
    refuse(path, `${ffree} inodes are free, and ${leastInodes} stay free for the journal and for pods`);
}

/** What may be written until the file system is to be asked again: a `hostLimits.leastFreeSteps`-th of what has to stay free. */
export class SpaceCount {
  readonly #path: string;
  #bytesLeft = 0;
  #inodesLeft = 0;

  constructor(path: string) {
    this.#path = path;
  }

  /** So much is about to be written. False where `renew` has to come first, as before the first bytes. */
  spend(bytes: number, inodes = 0): boolean {
    this.#bytesLeft -= bytes;
    this.#inodesLeft -= inodes;
    return this.#bytesLeft >= 0 && this.#inodesLeft >= 0;
  }

  /** Takes what the file system says now. Throws `exhausted` where not enough is left after `bytes` more. */
  renew(facts: FilesystemFacts, bytes = 0): void {
    // whoever is refused is asked about again
    this.#bytesLeft = 0;
    this.#inodesLeft = 0;
    demandSpace(this.#path, facts, bytes);
    this.#bytesLeft = leastFreeBytes(facts.blocks * facts.bsize) / hostLimits.leastFreeSteps;
    this.#inodesLeft =
      facts.files === 0 ? Infinity : leastFreeInodes(facts.files) / hostLimits.leastFreeSteps;
  }
}

/** Counts what is written, and asks the file system when the count is spent. */
export class SpaceGuard {
  readonly #count: SpaceCount;
  readonly #facts: () => FilesystemFacts;

  /** @param facts of the file system of `path`, as it is now; synchronous, for worker threads */
  constructor(path: string, facts: () => FilesystemFacts) {
    this.#count = new SpaceCount(path);
    this.#facts = facts;
  }

  /** So much is about to be written. Throws `exhausted` where there is not enough left; the first call always asks. */
  take(bytes: number, inodes: number): void {
    if (!this.#count.spend(bytes, inodes)) this.ask(bytes);
  }

  /** Asks now, whatever was counted: where something large begins, of `bytes` if that is known. */
  ask(bytes = 0): void {
    this.#count.renew(this.#facts(), bytes);
  }
}

function mib(bytes: number): string {
  return (bytes / MIB).toFixed(bytes < 10 * MIB ? 1 : 0);
}

function refuse(path: string, why: string): never {
  fail('exhausted', `no space left on ${path}: ${why}`, { retryable: true });
}
