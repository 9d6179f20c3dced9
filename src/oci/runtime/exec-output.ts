import type { ClockPort } from '../../actors/ports/clock.ts';
import type { KeptOutput } from '../../actors/ports/runtime.ts';
import { ByteBlocks } from '../../base/byte-blocks.ts';
import { driverLimits } from '../../base/limits.ts';
import type { SocketReader } from '../../host/socket-reader.ts';
import { nextTurn, within } from '../../host/wait.ts';
import type { OutputRoom } from './exec-room.ts';

/** What a command writes, up to a bound; what is beyond is read and dropped, so that it never waits for a reader. */
export class CappedOutput {
  /** Resolves when every holder of the pipe has closed it. */
  readonly ended: Promise<void>;
  readonly #reader: SocketReader | undefined;
  readonly #room: OutputRoom;
  readonly #kept: ByteBlocks;
  #isTaken = false;

  /** Keeps `driverLimits.execFreeBytes` without room; reads no further before there is. */
  constructor(reader: SocketReader | undefined, bytesMax: number, room: OutputRoom) {
    this.#reader = reader;
    this.#room = room;
    this.#kept = new ByteBlocks('keep the output of a command', bytesMax);
    this.ended = reader?.closed ?? Promise.resolve();
    room.whenRevoked.addEventListener('abort', () => this.#drop(), { once: true });
    reader?.start((bytes) => this.#keep(reader, bytes));
  }

  #keep(reader: SocketReader, bytes: Uint8Array): void {
    // a length that was announced must stay
    if (this.#isTaken) return;
    const { room } = this.#kept;
    this.#kept.appendCopy(bytes.length <= room ? bytes : bytes.subarray(0, room));
    if (this.#kept.room === 0) reader.unwanted();
    if (this.#room.isGranted || this.#kept.size <= driverLimits.execFreeBytes) return;
    reader.pause();
    void this.#room.ask().then(() => reader.resume());
  }

  /** The room is another exec's when this returns. */
  #drop(): void {
    this.#isTaken = true;
    this.#kept.drop();
    this.#reader?.unwanted();
  }

  /** Once, in one piece: nothing is left here then. */
  takeBytes(): Uint8Array {
    return this.#kept.takeAllAndFree();
  }

  /** Once, as it is kept: what comes from here on is nobody's. */
  take(): KeptOutput {
    this.#isTaken = true;
    return this.#kept;
  }

  close(): void {
    this.#reader?.destroy();
  }
}

/**
 * The process has ended: waits for what it wrote, in line for `room` too, which `wait` bounds. Background children may hold
 * the pipes for ever: what they write from here on is nobody's.
 */
export async function drained(
  outputs: readonly CappedOutput[],
  room: OutputRoom,
  clock: ClockPort,
  wait: (room: Promise<void>) => Promise<unknown>,
): Promise<void> {
  const all = Promise.all(outputs.map((output) => output.ended));
  const drain = () => within({ clock, timeoutMs: driverLimits.execDrainMs }, all);
  let met = await drain();
  if (met === 'timedOut' && room.isWaiting) {
    await wait(room.ask());
    met = await drain();
  }
  if (met === 'timedOut') await nextTurn();
}
