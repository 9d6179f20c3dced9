/**
 * Kernel files (cgroups, /proc) that are read repeatedly. Opening one costs four times as much as reading it
 * (measured: 7 µs and 1.5 µs), so descriptors stay open while they are used. Synchronous, since these reads
 * never wait for a device; a hundred containers have some six hundred of these files.
 */
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import type { ClockPort, TimerHandle } from '../../ports/clock.ts';
import { hostLimits } from '../bounds.ts';

interface Kept {
  /** Undefined when the file does not exist: not every kernel has each, and a failed open is expensive. */
  readonly fd: number | undefined;
  readonly openedMonoMs: number;
  askedMonoMs: number;
}

/**
 * Text of files by path; those unused for a while are closed. Where there are more than may be kept, the others are
 * opened for each read: readings go over all files in turn, and if each closed the one unused for longest, none would
 * be open when its turn comes.
 */
export class KernelFiles {
  readonly #clock: ClockPort;
  /** In the order of their last use. */
  readonly #kept = new Map<string, Kept>();
  readonly #buffer = Buffer.allocUnsafeSlow(hostLimits.kernelFileBytes);
  #sweep: TimerHandle | undefined;

  constructor(clock: ClockPort) {
    this.#clock = clock;
  }

  /** The text; undefined when the file does not exist or its cgroup is gone. */
  read(path: string): string | undefined {
    const now = this.#clock.monoMs();
    const kept = this.#kept.get(path);
    if (kept?.fd === undefined) {
      if (kept !== undefined && now - kept.openedMonoMs < hostLimits.kernelFileIdleMs) return undefined;
      this.#drop(path);
      return this.#open(path, now);
    }
    const text = this.#text(kept.fd);
    if (text === undefined) {
      // a new cgroup at the same path has another file
      this.#drop(path);
      return this.#open(path, now);
    }
    kept.askedMonoMs = now;
    this.#kept.delete(path);
    this.#kept.set(path, kept);
    return text;
  }

  /** Closes all. */
  close(): void {
    if (this.#sweep !== undefined) this.#clock.clearTimeout(this.#sweep);
    for (const path of this.#kept.keys()) this.#drop(path);
  }

  #open(path: string, now: number): string | undefined {
    let fd: number | undefined;
    try {
      fd = openSync(path, 'r');
    } catch {
      fd = undefined;
    }
    const text = fd === undefined ? undefined : this.#text(fd);
    if (this.#hasRoom(now)) this.#keep(path, { fd, openedMonoMs: now, askedMonoMs: now });
    else if (fd !== undefined) closeSync(fd);
    return text;
  }

  /** Makes it, where a file is kept that nobody reads any more. */
  #hasRoom(now: number): boolean {
    if (this.#kept.size < hostLimits.kernelFilesKept) return true;
    const [oldest] = this.#kept;
    if (oldest === undefined || now - oldest[1].askedMonoMs < hostLimits.kernelFileIdleMs) return false;
    this.#drop(oldest[0]);
    return true;
  }

  /** Undefined when it can no longer be read, or is larger than any such file should be. */
  #text(fd: number): string | undefined {
    try {
      const length = readSync(fd, this.#buffer, 0, this.#buffer.length, 0);
      return length === this.#buffer.length ? undefined : this.#buffer.toString('latin1', 0, length);
    } catch {
      return undefined;
    }
  }

  #keep(path: string, kept: Kept): void {
    this.#kept.set(path, kept);
    this.#sweepLater();
  }

  #drop(path: string): void {
    const kept = this.#kept.get(path);
    this.#kept.delete(path);
    if (kept?.fd !== undefined) closeSync(kept.fd);
  }

  /** Closes files of containers that have ended, which nobody reads any more. */
  #sweepLater(): void {
    this.#sweep ??= this.#clock.setTimeout(() => {
      this.#sweep = undefined;
      const since = this.#clock.monoMs() - hostLimits.kernelFileIdleMs;
      for (const [path, { askedMonoMs }] of this.#kept) {
        if (askedMonoMs > since) break;
        this.#drop(path);
      }
      if (this.#kept.size > 0) this.#sweepLater();
    }, hostLimits.kernelFileIdleMs);
  }
}

/** Buffer of one read, decoded before the next. */
const lines = Buffer.allocUnsafeSlow(hostLimits.netDevBytes);

/** The text of a net/dev, cut after the last line within the bound. Undefined when it does not exist. */
export function readNetDev(path: string): string | undefined {
  try {
    const fd = openSync(path, 'r');
    try {
      let length = 0;
      // such a file returns one page per read (fs/seq_file.c)
      for (let got = -1; got !== 0 && length < lines.length; length += Math.max(got, 0))
        got = readSync(fd, lines, length, lines.length - length, null);
      return lines.toString('utf8', 0, length < lines.length ? length : lines.lastIndexOf('\n') + 1);
    } finally {
      closeSync(fd);
    }
  } catch {
    return undefined;
  }
}

/** The text of a file that is read once; undefined when it does not exist. */
export function readKernelFile(path: string): string | undefined {
  try {
    // for this encoding Node opens, reads and closes in one call into C++: a third less CPU than for others
    // (measured)
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
