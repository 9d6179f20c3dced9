import type { Socket } from 'node:net';
import type { ClockPort } from '../../actors/ports/clock.ts';
import { driverLimits } from '../../base/limits.ts';
import { nextTurn, within } from '../../host/wait.ts';
import type { OutputRoom } from './exec-room.ts';

/** What a command writes, up to a bound; what is beyond is read and dropped, so that it never waits for a reader. */
export class CappedOutput {
  /** Resolves when every holder of the pipe has closed it. */
  readonly ended: Promise<void>;
  readonly #stream: Socket | undefined;
  readonly #bytesMax: number;
  readonly #room: OutputRoom;
  readonly #chunks: Uint8Array[] = [];
  #kept = 0;

  /** Keeps `driverLimits.execFreeBytes` without room; reads no further before there is. */
  constructor(stream: Socket | undefined, bytesMax: number, room: OutputRoom) {
    this.#stream = stream;
    this.#bytesMax = bytesMax;
    this.#room = room;
    this.ended = new Promise((resolve) => {
      if (stream === undefined) {
        resolve();
        return;
      }
      stream.on('data', (chunk: Buffer) => this.#keep(stream, chunk));
      // an error of a pipe is its end: `close` follows
      stream.on('error', () => undefined);
      stream.on('close', () => resolve());
    });
  }

  #keep(stream: Socket, chunk: Buffer): void {
    const part = chunk.subarray(0, this.#bytesMax - this.#kept);
    if (part.length === 0) return;
    this.#chunks.push(part);
    this.#kept += part.length;
    if (this.#room.isGranted || this.#kept <= driverLimits.execFreeBytes) return;
    stream.pause();
    void this.#room.ask().then(() => stream.resume());
  }

  bytes(): Uint8Array {
    return Buffer.concat(this.#chunks);
  }

  close(): void {
    this.#stream?.destroy();
  }
}

/**
 * The process has ended: waits for what it wrote, in line for `room` too, which `wait` bounds. Background children may hold
 * the pipes for ever: what they write from here on is nobody's.
 */
export async function drained(outputs: readonly CappedOutput[], room: OutputRoom, clock: ClockPort, wait: (room: Promise<void>) => Promise<unknown>): Promise<void> {
  const all = Promise.all(outputs.map((output) => output.ended));
  const drain = () => within({ clock, timeoutMs: driverLimits.execDrainMs }, all);
  let met = await drain();
  if (met === 'timedOut' && room.isWaiting) {
    await wait(room.ask());
    met = await drain();
  }
  if (met === 'timedOut') await nextTurn();
}
