/**
 * Checks that our directories are writable. The kernel makes a file system read-only after an error, and from
 * then on nothing can be recorded: the node must become not ready before further pods are sent to it (F25),
 * and ready again afterwards.
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

  /** Why a directory can't be written, as of the last check; undefined when all can. Answers from memory. */
  get refusal(): string | undefined {
    return this.#refusal;
  }

  /**
   * Checks now and then periodically, each time after the previous check has returned: a disk that hangs
   * blocks one thread.
   */
  start(): void {
    void this.#check().then(() => {
      if (!this.#isClosed)
        this.#timer = this.#clock.setTimeout(() => this.start(), hostLimits.writableCheckMs);
    });
  }

  close(): void {
    this.#isClosed = true;
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
  }

  async #check(): Promise<void> {
    const before = this.#refusal;
    this.#refusal = await firstRefusal(this.#directories);
    if (this.#refusal === before) return;
    if (this.#refusal === undefined) this.#log.info({}, 'directories are writable again');
    else this.#log.error({ reason: this.#refusal }, 'node not ready: directories are not writable');
  }
}

/** One after the other, since all may be on the disk that hangs. */
async function firstRefusal(directories: readonly string[]): Promise<string | undefined> {
  for (const directory of directories) {
    const refusal = await refusalOf(directory);
    if (refusal !== undefined) return refusal;
  }
  return undefined;
}

/** access(2): root is refused for the state of the file system, never for file modes. */
async function refusalOf(directory: string): Promise<string | undefined> {
  try {
    await access(directory, constants.W_OK);
    await touch(directory);
    return undefined;
  } catch (error) {
    return `${directory} is not writable: ${codeOf(error) === 'EROFS' ? 'read-only file system' : (codeOf(error) ?? String(error))}`;
  }
}

/**
 * The smallest write, which takes no space: sets the mode that the directory has. After an error, an ext4
 * with errors=remount-ro refuses only writes (`emergency_ro`, Linux 6.15), as does one that was shut down;
 * access(2) still succeeds. Rejects for these two errors alone.
 */
async function touch(directory: string): Promise<void> {
  const { mode } = await stat(directory);
  try {
    await chmod(directory, mode & 0o7777);
  } catch (error) {
    if (codeOf(error) === 'EROFS' || codeOf(error) === 'EIO') throw error;
  }
}
