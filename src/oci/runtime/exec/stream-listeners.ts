/** What waits for the attached clients of containers, each client's within its bound and all within one (F75, S85). */
import { ByteQueue } from '../../../base/byte-streams.ts';
import type { ContainerId } from '../../../base/ids.ts';
import { FaultError, fault } from '../../../base/fault.ts';
import { driverLimits } from '../bounds.ts';

/** First byte of a packet (conmon, src/utils.h). */
const STDOUT_PIPE = 2;
const STDERR_PIPE = 3;

/** What waits for all attached clients, of all containers (S85). */
export class AttachRoom {
  #bytes = 0;
  readonly #listeners = new Set<Listener>();

  /** Bytes that wait. */
  get size(): number {
    return this.#bytes;
  }

  join(listener: Listener): void {
    this.#listeners.add(listener);
  }

  leave(listener: Listener): void {
    this.#listeners.delete(listener);
  }

  taken(bytes: number): void {
    this.#bytes -= bytes;
  }

  /** Where too much waits in all, those who read least make room: one that keeps up loses nothing by them. */
  came(bytes: number): void {
    this.#bytes += bytes;
    while (this.#bytes > driverLimits.attachAllBytes) {
      let slowest: Listener | undefined;
      for (const one of this.#listeners)
        if (slowest === undefined || one.waiting > slowest.waiting) slowest = one;
      if (slowest === undefined) return;
      slowest.drop(`${driverLimits.attachAllBytes} bytes wait for clients like it`);
    }
  }
}

/** What a hub gives to one client. */
export class Listener {
  readonly stdout: ByteQueue;
  readonly stderr: ByteQueue;
  readonly #room: AttachRoom;
  readonly #id: ContainerId;
  /** Rejects when the client is too slow. */
  readonly dropped: Promise<never>;
  /** When no more output will come. */
  readonly ended: Promise<void>;
  #refuse: (error: Error) => void = () => undefined;
  #isDropped = false;
  #end: () => void = () => undefined;

  constructor(room: AttachRoom, id: ContainerId) {
    this.#room = room;
    this.#id = id;
    const taken = (bytes: number): void => room.taken(bytes);
    this.stdout = new ByteQueue(taken);
    this.stderr = new ByteQueue(taken);
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    this.dropped = new Promise((_resolve, reject) => {
      this.#refuse = reject;
    });
    this.dropped.catch(() => undefined);
    room.join(this);
  }

  /** Bytes that wait for the client. */
  get waiting(): number {
    return this.stdout.size + this.stderr.size;
  }

  /** False when it has to go. */
  push(pipe: number, bytes: Uint8Array): boolean {
    if (pipe === STDOUT_PIPE || pipe === STDERR_PIPE) {
      this.#room.came(bytes.length);
      (pipe === STDOUT_PIPE ? this.stdout : this.stderr).push(bytes);
    }
    if (this.waiting > driverLimits.attachBytes) this.drop(`${driverLimits.attachBytes} bytes wait for it`);
    return !this.#isDropped;
  }

  /** Its attach ends with this reason; what waits is given up at once. */
  drop(reason: string): void {
    this.#isDropped = true;
    const message = `attach to container ${this.#id}: the client reads too slowly, ${reason}`;
    this.#refuse(new FaultError(fault('exhausted', message, { subject: this.#id })));
    this.leave();
  }

  end(): void {
    this.stdout.end();
    this.stderr.end();
    this.#end();
  }

  /** Nobody reads it any more. */
  leave(): void {
    this.end();
    this.stdout.cancel();
    this.stderr.cancel();
    this.#room.leave(this);
  }
}
