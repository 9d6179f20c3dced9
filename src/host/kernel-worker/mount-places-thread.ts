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
import type { FoundPlace, NoPlaces, PlacesChange } from '../kernel-thread/thread-protocol.ts';
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
  /** Readings that are not tried from now on, and how many are not after the next refusal. */
  #untried = 0;
  #pause = 0;

  constructor(calls = kernelCalls) {
    this.#calls = calls;
  }

  /**
   * The change since the last call; the first one gives everything. `NoPlaces` where the calls do not exist or are
   * refused, be it for one mount. They are tried again by the next call, and ever later if they are still refused: with
   * thousands of mounts the calls until the refused one take longer than the table.
   */
  read(): PlacesChange | NoPlaces {
    if (this.#untried > 0) {
      this.#untried -= 1;
      return {};
    }
    const change = this.#change();
    if ('found' in change) {
      this.#isWhole = false;
      this.#pause = 0;
      return change;
    }
    // what was seen meanwhile is reported to nobody
    this.#known.clear();
    this.#isWhole = true;
    this.#untried = this.#pause;
    this.#pause = Math.min(hostLimits.mountCallsRetried, Math.max(1, this.#pause * 2));
    return change;
  }

  #change(): PlacesChange | NoPlaces {
    const ids = this.#list();
    if (!Array.isArray(ids)) return ids;
    const again = this.#movable();
    const found: FoundPlace[] = [];
    let vanished = 0;
    for (const id of [...ids.filter((one) => !this.#known.has(one)), ...again]) {
      const place = this.#stat(id);
      if (place === 'gone') {
        vanished += this.#known.has(id) ? 0 : 1;
        continue;
      }
      if ('refusal' in place) return place;
      if (this.#known.get(id)?.mountPoint === place.mountPoint) continue;
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

  #list(): number[] | NoPlaces {
    const ids: number[] = [];
    for (let part = 0; part < hostLimits.mountIdParts; part += 1) {
      const { result, errno } = this.#calls.list(ids.at(-1) ?? 0, this.#ids);
      if (result < 0) {
        const name = errnoName(errno);
        return name === 'ENOSYS' ? {} : { refusal: `listmount: ${name}` };
      }
      for (let at = 0; at < result * ID_BYTES; at += ID_BYTES)
        ids.push(this.#ids.readUInt32LE(at) + this.#ids.readUInt32LE(at + 4) * 2 ** 32);
      if (result < hostLimits.mountIdsAtOnce) return ids;
    }
    return { refusal: `listmount: more than ${hostLimits.mountIdParts * hostLimits.mountIdsAtOnce} mounts` };
  }

  #stat(id: number): FoundPlace | 'gone' | { readonly refusal: string } {
    const { result, errno } = this.#calls.stat(id, this.#struct);
    if (result === 0) return { id, ...statmountOf(this.#struct) };
    const name = errnoName(errno);
    return name === 'ENOENT' ? 'gone' : { refusal: `statmount of mount ${id}: ${name}` };
  }
}
