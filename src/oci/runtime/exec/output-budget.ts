/**
 * Memory for what execs write (F74). Each may keep a little of its own; for more it needs a room, of which there are few, each
 * large enough for all that may be kept of one exec. An exec that waits for a room leaves its pipe unread, so that the command
 * waits in its write, as with any slow reader. A room is asked for as a whole: two execs that had half a room each could wait for
 * one another for ever.
 *
 * A command decides how long it runs, so a room that it holds until its end would be its tenant's to block. A namespace therefore
 * has fewer rooms than there are, the next one goes to the namespace with the fewest, and a room that was held for its time is
 * taken back when another namespace waits (S85): what is kept is cut to what each exec may keep, the rest is dropped as beyond the
 * largest output, and the command runs on. It may be a hook that is entitled to its time: its container is killed when it fails.
 */
import type { ClockPort, TimerHandle } from '../../../ports/clock.ts';
import type { ContainerId } from '../../../base/ids.ts';
import { driverLimits } from '../bounds.ts';
import type { Log } from '../../../base/log.ts';
import { realClock } from '../../../host/clock/clock.ts';

const CUT_MESSAGE = `cut output of exec to ${driverLimits.execFreeBytes} bytes: another namespace needed its memory`;

/** One exec's request for a room. */
interface Claim {
  readonly namespace: string;
  /** False once the command has ended: only the client's reading is left. */
  readonly isRevocable: boolean;
  granted(): void;
  /** Must cut at once what is kept: the room is the next one's when this returns. */
  revoked(): void;
}

interface Tenant {
  held: number;
  /** Counts grants of all namespaces: the lowest was served the longest ago. */
  lastGrant: number;
  /** In the order of asking. */
  readonly waiting: Set<Claim>;
}

/** The rooms of a process. */
export class OutputRooms {
  readonly #rooms: number;
  readonly #clock: ClockPort;
  /** Namespaces that hold rooms or wait for one. */
  readonly #tenants = new Map<string, Tenant>();
  /** With the time of their grant in monotonic ms, the earliest first. */
  readonly #held = new Map<Claim, number>();
  #grants = 0;
  /** Runs while all rooms are held and somebody waits who may have the next one. */
  #timer: TimerHandle | undefined;

  constructor(rooms: number, clock: ClockPort) {
    this.#rooms = rooms;
    this.#clock = clock;
  }

  /** Calls `granted` when there is a room, perhaps at once. */
  ask(claim: Claim): void {
    const tenant = this.#tenants.get(claim.namespace) ?? { held: 0, lastGrant: -1, waiting: new Set() };
    this.#tenants.set(claim.namespace, tenant);
    tenant.waiting.add(claim);
    this.#assign();
  }

  /** The claim's room is free, or is not waited for any more. Repeatable. */
  leave(claim: Claim): void {
    this.#forget(claim);
    this.#assign();
  }

  #forget(claim: Claim): void {
    const tenant = this.#tenants.get(claim.namespace);
    if (tenant === undefined) return;
    if (this.#held.delete(claim)) tenant.held -= 1;
    else tenant.waiting.delete(claim);
    if (tenant.held === 0 && tenant.waiting.size === 0) this.#tenants.delete(claim.namespace);
  }

  #assign(): void {
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      if (this.#held.size >= this.#rooms && !this.#revokeFor(next)) return;
      this.#grant(next);
    }
  }

  /** The namespace whose first claim is served next: of those below their share the one with the fewest rooms, then the least recent. */
  #next(): Tenant | undefined {
    let best: Tenant | undefined;
    for (const one of this.#tenants.values()) {
      if (one.waiting.size === 0 || one.held >= driverLimits.execRoomsPerNamespace) continue;
      if (
        best === undefined ||
        one.held < best.held ||
        (one.held === best.held && one.lastGrant < best.lastGrant)
      )
        best = one;
    }
    return best;
  }

  #grant(tenant: Tenant): void {
    const [claim] = tenant.waiting;
    if (claim === undefined) return;
    tenant.waiting.delete(claim);
    tenant.held += 1;
    tenant.lastGrant = this.#grants;
    this.#grants += 1;
    this.#held.set(claim, this.#clock.monoMs());
    claim.granted();
  }

  /** Takes a room back for this namespace, or sees to it that this is tried again in time. */
  #revokeFor(waiting: Tenant): boolean {
    const now = this.#clock.monoMs();
    let victim: Claim | undefined;
    let most = 0;
    let soonestMs = Infinity;
    for (const [claim, sinceMs] of this.#held) {
      const held = this.#tenants.get(claim.namespace)?.held ?? 0;
      // with one room less than now, it must not be worse off than the one that waits is
      if (!claim.isRevocable || held - waiting.held < (waiting.held === 0 ? 1 : 2)) continue;
      const leftMs = sinceMs + driverLimits.execRoomHeldMs - now;
      if (leftMs > 0) soonestMs = Math.min(soonestMs, leftMs);
      else if (held > most) [victim, most] = [claim, held];
    }
    if (victim === undefined) {
      if (soonestMs < Infinity) this.#timer = this.#clock.setTimeout(() => this.#assign(), soonestMs);
      return false;
    }
    this.#forget(victim);
    victim.revoked();
    return true;
  }
}

/** One exec's claim, for both of its outputs. */
export class OutputRoom implements Claim {
  readonly namespace: string;
  readonly #rooms: OutputRooms;
  readonly #onCut: (() => void)[] = [];
  #asked: PromiseWithResolvers<void> | undefined;
  #isOver = false;
  /** It may keep all that is kept at most. */
  isGranted = false;
  /** It was taken back: each output keeps `driverLimits.execFreeBytes`, and drops the rest. */
  isCut = false;
  isRevocable = true;

  constructor(namespace: string, rooms: OutputRooms = roomsOfTheProcess) {
    this.namespace = namespace;
    this.#rooms = rooms;
  }

  get isWaiting(): boolean {
    return this.#asked !== undefined && !this.isGranted && !this.isCut;
  }

  /** Calls `cut` when the room is taken back. It must give the memory back before it returns, and not throw. */
  onCut(cut: () => void): void {
    this.#onCut.push(cut);
  }

  /** Settles once there is room: never for one that was released before. */
  ask(): Promise<void> {
    if (this.#asked === undefined) {
      this.#asked = Promise.withResolvers<void>();
      if (!this.#isOver) this.#rooms.ask(this);
    }
    return this.#asked.promise;
  }

  granted(): void {
    this.isGranted = true;
    this.#asked?.resolve();
  }

  revoked(): void {
    this.#isOver = true;
    this.isGranted = false;
    this.isCut = true;
    for (const cut of this.#onCut) cut();
  }

  /** The command has ended: its output is complete within a bounded time, and is not cut any more. */
  ended(): void {
    this.isRevocable = false;
  }

  /** What was kept is not used any more. Repeatable; to be called for every claim. */
  release(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#rooms.leave(this);
  }

  /** Releases it when `over` aborts, which means that the answer has been sent; at once where there is no such signal. */
  releaseWhen(over: AbortSignal | undefined): void {
    this.isRevocable = false;
    if (over === undefined || over.aborted) this.release();
    else over.addEventListener('abort', () => this.release(), { once: true });
  }
}

export interface RoomUse {
  readonly id: ContainerId;
  readonly namespace: string;
  /** As that of `RuntimePort.execSync`. */
  readonly over?: AbortSignal | undefined;
}

/** Runs an exec that keeps output in `room`, which is released when its answer has been sent. */
export async function withOutputRoom<T>(
  { id, namespace, over }: RoomUse,
  log: Log,
  run: (room: OutputRoom) => Promise<T>,
  rooms?: OutputRooms,
): Promise<T> {
  const room = new OutputRoom(namespace, rooms);
  room.onCut(() => log.warn({ id, namespace }, CUT_MESSAGE));
  let isKept = false;
  try {
    const result = await run(room);
    isKept = true;
    return result;
  } finally {
    room.releaseWhen(isKept ? over : undefined);
  }
}

/** Memory belongs to the process: all drivers and shims share these. */
const roomsOfTheProcess = new OutputRooms(driverLimits.execRooms, realClock());
