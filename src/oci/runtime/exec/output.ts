import type { ClockPort } from '../../../ports/clock.ts';
import type { ExecResult, KeptOutput } from '../../../ports/runtime.ts';
import { ByteBlocks } from '../../../base/byte-blocks.ts';
import { driverLimits } from '../bounds.ts';
import type { SocketReader } from '../../../host/io/socket-reader.ts';
import { nextTurn, within } from '../../../host/clock/wait.ts';
import type { OutputRoom } from './output-budget.ts';

const CUT_LINE = `troupe: output cut to ${driverLimits.execFreeBytes / 1024} KiB: another namespace needed its memory\n`;
const NEWLINE = 0x0a;

/** What a command writes, up to a bound; what is beyond is read and dropped, so that it never waits for a reader. */
export class CappedOutput {
  /** Resolves when every holder of the pipe has closed it. */
  readonly ended: Promise<void>;
  readonly #reader: SocketReader | undefined;
  readonly #room: OutputRoom;
  readonly #kept: ByteBlocks;
  #isTaken = false;
  #lastByte = NEWLINE;

  /**
   * Keeps `driverLimits.execFreeBytes` without room; reads no further before there is. When the room is taken back, only so much
   * stays, and all that comes after it is dropped.
   */
  constructor(reader: SocketReader | undefined, bytesMax: number, room: OutputRoom) {
    this.#reader = reader;
    this.#room = room;
    this.#kept = new ByteBlocks('keep the output of a command', bytesMax);
    this.ended = reader?.closed ?? Promise.resolve();
    room.onCut(() => this.#cut());
    reader?.start((bytes) => this.#keep(reader, bytes));
  }

  #keep(reader: SocketReader, bytes: Uint8Array): void {
    // a length that was announced must stay
    if (this.#isTaken) return;
    this.#add(bytes);
    if (this.#left === 0) reader.unwanted();
    if (this.#room.isGranted || this.#kept.size <= driverLimits.execFreeBytes) return;
    reader.pause();
    void this.#room.ask().then(() => reader.resume());
  }

  /** Bytes that may still be kept. */
  get #left(): number {
    const { room, size } = this.#kept;
    return this.#room.isCut ? Math.min(room, driverLimits.execFreeBytes - size) : room;
  }

  /** As much of it as may be kept. */
  #add(bytes: Uint8Array): void {
    const left = this.#left;
    // most fit: no object for each read
    const part = bytes.length <= left ? bytes : bytes.subarray(0, left);
    this.#kept.appendCopy(part);
    this.#lastByte = part[part.length - 1] ?? this.#lastByte;
  }

  /** The room is another exec's when this returns. */
  #cut(): void {
    this.#kept.cut(driverLimits.execFreeBytes);
    if (this.#left === 0) this.#reader?.unwanted();
  }

  /** Adds it as the last line, unless it is more than may be kept. */
  endWith(line: string): void {
    const bytes = Buffer.from(this.#lastByte === NEWLINE ? line : `\n${line}`, 'utf8');
    if (bytes.length <= this.#left) this.#add(bytes);
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

/** Both outputs for the answer, once; the last line of stderr says so where they were cut. */
export function takeBoth(
  stdout: CappedOutput,
  stderr: CappedOutput,
  room: OutputRoom,
): Pick<ExecResult, 'stdout' | 'stderr'> {
  if (room.isCut) stderr.endWith(CUT_LINE);
  return { stdout: stdout.take(), stderr: stderr.take() };
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
  room.ended();
  const all = Promise.all(outputs.map((output) => output.ended));
  const drain = () => within({ clock, timeoutMs: driverLimits.execDrainMs }, all);
  let met = await drain();
  if (met === 'timedOut' && room.isWaiting) {
    await wait(room.ask());
    met = await drain();
  }
  if (met === 'timedOut') await nextTurn();
}
