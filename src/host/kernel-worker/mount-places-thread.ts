/**
 * Lists the mounts that this process sees, and what has changed since the last time. Synchronous: runs only in the
 * kernel thread. See mounts/mount-places.ts.
 */
import { hostLimits } from '../bounds.ts';
import {
  LSMT_ROOT,
  STATMOUNT_FS_TYPE,
  STATMOUNT_MNT_POINT,
  mountIdRequest,
  statmountOf,
} from '../ffi/constants.ts';
import { errnoName } from '../ffi/errno.ts';
import { callSync, libc } from '../ffi/ffi.ts';
import type { SyscallResult } from '../ffi/ffi.ts';
import type { FoundPlace, PlacesChange } from '../kernel-thread/thread-protocol.ts';
import { isRemote } from '../mounts/remote-types.ts';

/** The two system calls, with -1 and an errno, or what they return. */
export interface MountCalls {
  /** Writes ids above `after` into the buffer, in ascending order, and returns how many. */
  readonly list: (after: number, into: Buffer) => SyscallResult;
  /** Writes the mount's struct statmount. */
  readonly stat: (id: number, into: Buffer) => SyscallResult;
}

const kernelCalls: MountCalls = {
  list: (after, into) =>
    callSync(libc.listmount, mountIdRequest(LSMT_ROOT, BigInt(after)), into, into.length / ID_BYTES, 0),
  stat: (id, into) =>
    callSync(
      libc.statmount,
      mountIdRequest(BigInt(id), BigInt(STATMOUNT_MNT_POINT | STATMOUNT_FS_TYPE)),
      into,
      into.length,
      0,
    ),
};

const ID_BYTES = 8;

/** What one thread has seen of the mounts. The kernel gives no id twice (statmount(2)). */
export class MountScan {
  readonly #calls: MountCalls;
  readonly #known = new Map<number, FoundPlace>();
  readonly #ids = Buffer.alloc(hostLimits.mountIdsAtOnce * ID_BYTES);
  readonly #struct = Buffer.alloc(hostLimits.statmountBytes);
  #isWhole = true;

  constructor(calls = kernelCalls) {
    this.#calls = calls;
  }

  /**
   * The change since the last call; the first one gives everything. Undefined where the calls do not exist or are
   * refused: the table has to be read.
   */
  read(): PlacesChange | undefined {
    const change = this.#change();
    // what was seen meanwhile is reported to nobody
    if (change === undefined) this.#known.clear();
    this.#isWhole = change === undefined;
    return change;
  }

  #change(): PlacesChange | undefined {
    const ids = this.#list();
    if (ids === undefined) return undefined;
    const again = this.#movable();
    const found: FoundPlace[] = [];
    let vanished = 0;
    for (const id of [...ids.filter((one) => !this.#known.has(one)), ...again]) {
      const place = this.#stat(id);
      if (place === 'refused') return undefined;
      if (place === 'gone') vanished += this.#known.has(id) ? 0 : 1;
      if (place === 'gone' || this.#known.get(id)?.mountPoint === place.mountPoint) continue;
      this.#known.set(id, place);
      found.push(place);
    }
    return { isWhole: this.#isWhole, gone: this.#forgetAllBut(ids, vanished), found };
  }

  /** `vanished`: how many of them are not known, having gone since they were listed. All others are. */
  #forgetAllBut(ids: readonly number[], vanished: number): number[] {
    if (this.#known.size === ids.length - vanished) return [];
    const listed = new Set(ids);
    const gone = [...this.#known.keys()].filter((id) => !listed.has(id));
    for (const id of gone) this.#known.delete(id);
    return gone;
  }

  /** Those whose place decides whether a path may not answer: a mount can be moved, and its directory renamed. */
  #movable(): number[] {
    const points = new Set<string>();
    for (const place of this.#known.values()) if (isRemote(place)) points.add(place.mountPoint);
    if (points.size === 0) return [];
    return [...this.#known.values()].filter((place) => points.has(place.mountPoint)).map(({ id }) => id);
  }

  #list(): number[] | undefined {
    const ids: number[] = [];
    for (let part = 0; part < hostLimits.mountIdParts; part += 1) {
      const { result } = this.#calls.list(ids.at(-1) ?? 0, this.#ids);
      if (result < 0) return undefined;
      for (let at = 0; at < result * ID_BYTES; at += ID_BYTES)
        ids.push(this.#ids.readUInt32LE(at) + this.#ids.readUInt32LE(at + 4) * 2 ** 32);
      if (result < hostLimits.mountIdsAtOnce) return ids;
    }
    return undefined;
  }

  #stat(id: number): FoundPlace | 'gone' | 'refused' {
    const { result, errno } = this.#calls.stat(id, this.#struct);
    if (result === 0) return { id, ...statmountOf(this.#struct) };
    return errnoName(errno) === 'ENOENT' ? 'gone' : 'refused';
  }
}
