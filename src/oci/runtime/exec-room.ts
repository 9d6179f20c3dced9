/**
 * Room in memory for what execs write (F74). Each has a little of its own; for more it needs a room, of which there are
 * few, each large enough for all that may be kept of one exec. Who waits for a room leaves its pipe unread, so that the
 * command waits in its write, as with any slow reader. A room is asked for as a whole: two that had half a room each
 * could wait on one another for ever.
 */
import { driverLimits } from '../../base/limits.ts';

/** The rooms of a process; who asks first gets the next one. */
export class OutputRooms {
  #free: number;
  readonly #line: (() => void)[] = [];

  constructor(rooms: number) {
    this.#free = rooms;
  }

  /** Calls `granted` when there is a room, perhaps at once; the returned function gives it back, or leaves the line. */
  take(granted: () => void): () => void {
    let has = false;
    const enter = (): void => {
      has = true;
      granted();
    };
    if (this.#free > 0) {
      this.#free -= 1;
      enter();
    } else this.#line.push(enter);
    return () => {
      if (has) this.#next();
      else this.#line.splice(this.#line.indexOf(enter), 1);
    };
  }

  #next(): void {
    const next = this.#line.shift();
    if (next === undefined) this.#free += 1;
    else next();
  }
}

/** One exec's claim, for both of its outputs. */
export class OutputRoom {
  readonly #rooms: OutputRooms;
  #asked: Promise<void> | undefined;
  #giveBack: () => void = () => undefined;
  #isOver = false;
  /** It may keep all that is kept at most. */
  isGranted = false;

  constructor(rooms: OutputRooms = roomsOfTheProcess) {
    this.#rooms = rooms;
  }

  get isWaiting(): boolean {
    return this.#asked !== undefined && !this.isGranted;
  }

  /** Settles once there is room: never for one that was released before. */
  ask(): Promise<void> {
    this.#asked ??= new Promise((resolve) => {
      if (this.#isOver) return;
      this.#giveBack = this.#rooms.take(() => {
        this.isGranted = true;
        resolve();
      });
    });
    return this.#asked;
  }

  /** What was kept is nobody's any more. Repeatable; to be called for every claim. */
  release(): void {
    this.#isOver = true;
    const giveBack = this.#giveBack;
    this.#giveBack = () => undefined;
    giveBack();
  }

  /** Releases it when `over` says that the answer has left; at once where nobody says so. */
  releaseWhen(over: AbortSignal | undefined): void {
    if (over === undefined || over.aborted) this.release();
    else over.addEventListener('abort', () => this.release(), { once: true });
  }
}

/** Memory belongs to the process: all drivers and shims share these. */
const roomsOfTheProcess = new OutputRooms(driverLimits.execRooms);
