/** Which call of the journal's disk is under way, and for how long: a disk that hangs answers none. */
import type { ClockPort } from '../ports/clock.ts';
import type { DiskFile, DiskPort } from '../ports/disk.ts';

export interface DiskCall {
  /** Such as `fdatasync`. */
  readonly name: string;
  readonly sinceMonoMs: number;
}

export class DiskCalls {
  readonly #clock: Pick<ClockPort, 'monoMs'>;
  readonly #calls = new Set<DiskCall>();

  constructor(clock: Pick<ClockPort, 'monoMs'>) {
    this.#clock = clock;
  }

  /** The call that has been under way for longest; undefined when none is. */
  get oldest(): DiskCall | undefined {
    // in the order of their beginning; the journal makes one or two at once
    for (const call of this.#calls) return call;
    return undefined;
  }

  /** The same disk, whose calls are noted. */
  noted(disk: DiskPort): DiskPort {
    const file = (one: DiskFile): DiskFile => ({
      append: (bytes) => this.#note('write', () => one.append(bytes)),
      sync: () => this.#note('fdatasync', () => one.sync()),
      size: () => this.#note('fstat', () => one.size()),
      close: () => this.#note('close', () => one.close()),
    });
    return {
      list: () => this.#note('readdir', () => disk.list()),
      read: (name) => this.#note('read', () => disk.read(name)),
      create: async (name) => file(await this.#note('open', () => disk.create(name))),
      openAt: async (name, length) => file(await this.#note('open', () => disk.openAt(name, length))),
      writeAgain: (name, bytes) => this.#note('write', () => disk.writeAgain(name, bytes)),
      rename: (from, to) => this.#note('rename', () => disk.rename(from, to)),
      unlink: (name) => this.#note('unlink', () => disk.unlink(name)),
      syncDirectory: () => this.#note('fsync', () => disk.syncDirectory()),
    };
  }

  async #note<T>(name: string, call: () => Promise<T>): Promise<T> {
    const noted = { name, sinceMonoMs: this.#clock.monoMs() };
    this.#calls.add(noted);
    try {
      return await call();
    } finally {
      this.#calls.delete(noted);
    }
  }
}
