/**
 * Whether the directories of ours take writes. A file system that met an error is made read-only by the kernel, and from
 * then on nothing can be recorded: the node must say so before pods are sent to it (F25), and take some again afterwards.
 */
import { access, chmod, constants, stat } from 'node:fs/promises';
import type { ClockPort, TimerHandle } from '../../ports/clock.ts';
import { hostLimits } from '../bounds.ts';
import type { Log } from '../../base/log.ts';
import { codeOf } from '../ffi/errno.ts';

export class WritableWatch {
  readonly #directories: readonly string[];
  readonly #clock: Pick<ClockPort, 'setTimeout' | 'clearTimeout'>;
  readonly #log: Log;
  #refusal: string | undefined;
  #timer: TimerHandle | undefined;
  #isClosed = false;

  constructor(
    directories: readonly string[],
    clock: Pick<ClockPort, 'setTimeout' | 'clearTimeout'>,
    log: Log,
  ) {
    this.#directories = [...new Set(directories)];
    this.#clock = clock;
    this.#log = log;
  }

  /** Why nothing can be written, as of the last look; undefined when all can. From memory. */
  get refusal(): string | undefined {
    return this.#refusal;
  }

  /** Looks now and then again, each time when the look before has come back: a disk that hangs holds one thread. */
  start(): void {
    void this.#look().then(() => {
      if (!this.#isClosed)
        this.#timer = this.#clock.setTimeout(() => this.start(), hostLimits.writableLookMs);
    });
  }

  close(): void {
    this.#isClosed = true;
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
  }

  async #look(): Promise<void> {
    const before = this.#refusal;
    this.#refusal = await firstRefusal(this.#directories);
    if (this.#refusal === before) return;
    if (this.#refusal === undefined) this.#log.info({}, 'all directories can be written again');
    else this.#log.error({ reason: this.#refusal }, 'the node is not ready: nothing can be recorded');
  }
}

/** One after the other: they may all be on the disk that hangs. */
async function firstRefusal(directories: readonly string[]): Promise<string | undefined> {
  for (const directory of directories) {
    const refusal = await refusalOf(directory);
    if (refusal !== undefined) return refusal;
  }
  return undefined;
}

/** access(2): for root a write is refused by what the file system is, not by modes. */
async function refusalOf(directory: string): Promise<string | undefined> {
  try {
    await access(directory, constants.W_OK);
    await touch(directory);
    return undefined;
  } catch (error) {
    return `${directory} cannot be written: ${codeOf(error) === 'EROFS' ? 'its file system is read-only' : (codeOf(error) ?? String(error))}`;
  }
}

/**
 * The smallest write, which takes no space: the mode that it has. An ext4 with errors=remount-ro refuses only writes after an
 * error (`emergency_ro`, Linux 6.15), and one that was shut down likewise; access(2) allows them. Rejects for these two alone.
 */
async function touch(directory: string): Promise<void> {
  const { mode } = await stat(directory);
  try {
    await chmod(directory, mode & 0o7777);
  } catch (error) {
    if (codeOf(error) === 'EROFS' || codeOf(error) === 'EIO') throw error;
  }
}
