/**
 * Files of kernel memory (cgroups, /proc) that are read again and again. Opening one costs four times what reading it does
 * (measured: 7 µs against 1.5), so descriptors are kept for as long as somebody asks. Synchronous on purpose: nothing waits
 * for a device, and a hundred containers have some six hundred of these files.
 */
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import type { ClockPort, TimerHandle } from '../../ports/clock.ts';
import { hostLimits } from '../bounds.ts';

interface Kept {
  /** Undefined: there is no such file. Not every kernel has each, and a failed open is dear. */
  readonly fd: number | undefined;
  readonly openedMonoMs: number;
  askedMonoMs: number;
}

/** Text of files by path; the ones unused for longest are closed first. */
export class KernelFiles {
  readonly #clock: ClockPort;
  /** In the order in which they were asked for last. */
  readonly #kept = new Map<string, Kept>();
  readonly #buffer = Buffer.allocUnsafeSlow(hostLimits.kernelFileBytes);
  #sweep: TimerHandle | undefined;

  constructor(clock: ClockPort) {
    this.#clock = clock;
  }

  /** The text; undefined when there is no such file, or its cgroup is gone. */
  read(path: string): string | undefined {
    const now = this.#clock.monoMs();
    const kept = this.#kept.get(path);
    if (kept?.fd === undefined)
      return kept !== undefined && now - kept.openedMonoMs < hostLimits.kernelFileIdleMs
        ? undefined
        : this.#open(path, now);
    const text = this.#text(kept.fd);
    if (text === undefined) {
      // a cgroup made anew under the path has another file
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
    this.#keep(path, { fd, openedMonoMs: now, askedMonoMs: now });
    return text;
  }

  /** Undefined when it can't be read any more, and when it is larger than any of these is. */
  #text(fd: number): string | undefined {
    try {
      const length = readSync(fd, this.#buffer, 0, this.#buffer.length, 0);
      return length === this.#buffer.length ? undefined : this.#buffer.toString('latin1', 0, length);
    } catch {
      return undefined;
    }
  }

  #keep(path: string, kept: Kept): void {
    this.#kept.delete(path);
    this.#kept.set(path, kept);
    if (this.#kept.size > hostLimits.kernelFilesKept) this.#drop(this.#kept.keys().next().value ?? '');
    this.#sweepLater();
  }

  #drop(path: string): void {
    const kept = this.#kept.get(path);
    this.#kept.delete(path);
    if (kept?.fd !== undefined) closeSync(kept.fd);
  }

  /** Those of a container that has ended are asked for no more. */
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

/** One read's bytes: they are decoded before the next. */
const lines = Buffer.allocUnsafeSlow(hostLimits.netDevBytes);

/** The text of a net/dev; of one that has more than the bound its first lines. Undefined when there is none. */
export function readNetDev(path: string): string | undefined {
  try {
    const fd = openSync(path, 'r');
    try {
      let length = 0;
      // such a file gives a page at a read (fs/seq_file.c)
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

/** The text of a file that is read once; undefined when there is none. */
export function readKernelFile(path: string): string | undefined {
  try {
    // for this encoding Node opens, reads and closes in one call into C++: a third less CPU than for any other (measured)
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
