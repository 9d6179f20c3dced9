/**
 * The space that images must leave free on a file system. Unpacking and kept downloads stop above it, so that
 * the journal, logs and containers on the same file system go on, and the kubelet has space to act in (F21,
 * S59).
 */
import { fail } from '../../base/fault.ts';
import { hostLimits } from '../bounds.ts';

/** Fields of statfs(2). `bavail` excludes the blocks that are reserved for root. */
export interface FilesystemFacts {
  /** Bytes of a block. */
  readonly bsize: number;
  readonly blocks: number;
  readonly bavail: number;
  /** Inodes; 0 where the file system has no fixed number (btrfs). */
  readonly files: number;
  readonly ffree: number;
}

const MIB = 1024 * 1024;

/** Bytes to leave free on a file system of `total` bytes; a small one has its share instead. */
export function leastFreeBytes(total: number): number {
  return Math.min(hostLimits.leastFreeBytes, Math.floor(total / hostLimits.leastFreeShare));
}

/** The same for inodes. */
export function leastFreeInodes(total: number): number {
  return Math.min(hostLimits.leastFreeInodes, Math.floor(total / hostLimits.leastFreeShare));
}

/**
 * Throws `exhausted`, with both figures, when `path` would have less free than required after `bytes` more.
 */
export function demandSpace(
  path: string,
  { bsize, blocks, bavail, files, ffree }: FilesystemFacts,
  bytes = 0,
): void {
  const least = leastFreeBytes(blocks * bsize);
  if (bavail * bsize - bytes < least) {
    refuse(
      path,
      `needs ${bytes < MIB ? '' : `${mib(bytes)} MiB and `}${mib(least)} MiB reserved for the journal and pods, has ${mib(bavail * bsize)} MiB`,
    );
  }
  const leastInodes = leastFreeInodes(files);
  if (files > 0 && ffree < leastInodes)
    refuse(path, `needs ${leastInodes} inodes reserved for the journal and pods, has ${ffree}`);
}

/**
 * Counts what may be written before the file system must be checked again: a `hostLimits.leastFreeSteps`-th
 * of the reserve.
 */
export class SpaceCount {
  readonly #path: string;
  #bytesLeft = 0;
  #inodesLeft = 0;

  constructor(path: string) {
    this.#path = path;
  }

  /**
   * Counts bytes that are about to be written. False when `renew` must be called first, as before the first
   * bytes.
   */
  spend(bytes: number, inodes = 0): boolean {
    this.#bytesLeft -= bytes;
    this.#inodesLeft -= inodes;
    return this.#bytesLeft >= 0 && this.#inodesLeft >= 0;
  }

  /**
   * Starts again from the file system's current figures. Throws `exhausted` when too little would be left
   * after `bytes` more.
   */
  renew(facts: FilesystemFacts, bytes = 0): void {
    // after a refusal the next write checks again
    this.#bytesLeft = 0;
    this.#inodesLeft = 0;
    demandSpace(this.#path, facts, bytes);
    this.#bytesLeft = leastFreeBytes(facts.blocks * facts.bsize) / hostLimits.leastFreeSteps;
    this.#inodesLeft =
      facts.files === 0 ? Infinity : leastFreeInodes(facts.files) / hostLimits.leastFreeSteps;
  }
}

/** Counts writes, and checks the file system when the count is used up. */
export class SpaceGuard {
  readonly #count: SpaceCount;
  readonly #facts: () => FilesystemFacts;

  /** @param facts current figures of the file system of `path`; synchronous, for worker threads */
  constructor(path: string, facts: () => FilesystemFacts) {
    this.#count = new SpaceCount(path);
    this.#facts = facts;
  }

  /**
   * Call before a write. Throws `exhausted` when too little is left; the first call always checks the file
   * system.
   */
  take(bytes: number, inodes: number): void {
    if (!this.#count.spend(bytes, inodes)) this.ask(bytes);
  }

  /** Checks now, whatever was counted: at the start of something large, of `bytes` if that is known. */
  ask(bytes = 0): void {
    this.#count.renew(this.#facts(), bytes);
  }
}

function mib(bytes: number): string {
  return (bytes / MIB).toFixed(bytes < 10 * MIB ? 1 : 0);
}

function refuse(path: string, why: string): never {
  fail('exhausted', `no space left on ${path} (${why})`, { retryable: true });
}
