import type { ClockPort } from '../../../ports/clock.ts';
import type { ExecResult, BufferedOutput } from '../../../ports/runtime.ts';
import { ByteBlocks } from '../../../base/byte-blocks.ts';
import { driverLimits } from '../bounds.ts';
import type { SocketReader } from '../../../host/io/socket-reader.ts';
import { nextTurn, within } from '../../../host/clock/wait.ts';
import type { OutputSlot } from './output-budget.ts';

const CUT_LINE = `troupe: output cut to ${driverLimits.execFreeBytes / 1024} KiB: another namespace needed its memory\n`;
const NEWLINE = 0x0a;

/**
 * Keeps what a command writes, up to a bound. Output beyond it is read and dropped, so that the command never blocks
 * on a full pipe.
 */
export class CappedOutput {
  /** Resolves when every holder of the pipe has closed it. */
  readonly ended: Promise<void>;
  readonly #reader: SocketReader | undefined;
  readonly #slot: OutputSlot;
  readonly #kept: ByteBlocks;
  #isTaken = false;
  #lastByte = NEWLINE;

  /**
   * Keeps `driverLimits.execFreeBytes` without a slot and stops reading there until a slot is granted. When the slot
   * is revoked, output beyond `execFreeBytes` is dropped, both what is kept and what follows.
   */
  constructor(reader: SocketReader | undefined, bytesMax: number, slot: OutputSlot) {
    this.#reader = reader;
    this.#slot = slot;
    this.#kept = new ByteBlocks('keep the output of a command', bytesMax);
    this.ended = reader?.closed ?? Promise.resolve();
    slot.onCut(() => this.#cut());
    reader?.start((bytes) => this.#keep(reader, bytes));
  }

  #keep(reader: SocketReader, bytes: Uint8Array): void {
    // the answer's length was announced: nothing may be added
    if (this.#isTaken) return;
    this.#add(bytes);
    if (this.#left === 0) reader.unwanted();
    if (this.#slot.isGranted || this.#kept.size <= driverLimits.execFreeBytes) return;
    reader.pause();
    void this.#slot.ask().then(() => reader.resume());
  }

  /** Bytes that may still be kept. */
  get #left(): number {
    const { room, size } = this.#kept;
    return this.#slot.isCut ? Math.min(room, driverLimits.execFreeBytes - size) : room;
  }

  /** Keeps as many of the bytes as fit. */
  #add(bytes: Uint8Array): void {
    const left = this.#left;
    // usually all fit: no subarray is made for each read
    const part = bytes.length <= left ? bytes : bytes.subarray(0, left);
    this.#kept.appendCopy(part);
    this.#lastByte = part[part.length - 1] ?? this.#lastByte;
  }

  /** Frees all but `execFreeBytes`: when this returns, the slot belongs to another exec. */
  #cut(): void {
    this.#kept.cut(driverLimits.execFreeBytes);
    if (this.#left === 0) this.#reader?.unwanted();
  }

  /** Appends `line` as the last line, if it fits. */
  endWith(line: string): void {
    const bytes = Buffer.from(this.#lastByte === NEWLINE ? line : `\n${line}`, 'utf8');
    if (bytes.length <= this.#left) this.#add(bytes);
  }

  /** All bytes in one buffer; can be called once. */
  takeBytes(): Uint8Array {
    return this.#kept.takeAllAndFree();
  }

  /** The kept blocks; can be called once. Bytes that arrive later are dropped. */
  take(): BufferedOutput {
    this.#isTaken = true;
    return this.#kept;
  }

  close(): void {
    this.#reader?.destroy();
  }
}

/** Takes both outputs for the answer; can be called once. Where they were cut, stderr ends with a line saying so. */
export function takeBoth(
  stdout: CappedOutput,
  stderr: CappedOutput,
  slot: OutputSlot,
): Pick<ExecResult, 'stdout' | 'stderr'> {
  if (slot.isCut) stderr.endWith(CUT_LINE);
  return { stdout: stdout.take(), stderr: stderr.take() };
}

/**
 * Waits for the rest of the output after the process has exited. Waiting for a slot counts too; `wait` bounds it. A
 * background child may hold the pipes open for ever: what it writes after this is dropped.
 */
export async function drained(
  outputs: readonly CappedOutput[],
  slot: OutputSlot,
  clock: ClockPort,
  wait: (slot: Promise<void>) => Promise<unknown>,
): Promise<void> {
  slot.ended();
  const all = Promise.all(outputs.map((output) => output.ended));
  const drain = () => within({ clock, timeoutMs: driverLimits.execDrainMs }, all);
  let met = await drain();
  if (met === 'timedOut' && slot.isWaiting) {
    await wait(slot.ask());
    met = await drain();
  }
  if (met === 'timedOut') await nextTurn();
}
