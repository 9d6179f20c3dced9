/**
 * A disk that hangs (F91): from one moment to another no operation on it returns. Then each that waits is carried out,
 * or fails with EIO.
 */
import { DiskError } from './disk-model.ts';
import type { Random } from './random.ts';
import type { Scheduler } from './scheduler.ts';

/** Seconds to minutes: shorter and longer than each bound of the actors beside that of a download. */
const SHORT_MS = 20_000;
const LONG_MS = 240_000;
/** Share of the hangs that end with errors. */
const FAILS = 0.3;

/** Port calls that wait for the disk of layers and root file systems. */
const ON_DISK: readonly string[] = [
  'storage.',
  'images.fetchLayer',
  'images.dropPartials',
  'runtime.writeBundle',
];

interface Waiting {
  readonly epoch: number;
  /** Carries it out after its daemon was killed: the kernel finishes what it has begun. */
  readonly goOn: () => void;
  readonly resolve: () => void;
}

export class HungDisk {
  /** Virtual milliseconds; in the past while it does not hang. */
  untilMs = 0;
  sinceMs = 0;
  readonly made = { diskHang: 0, journalHeld: 0, layerHeld: 0, hangFailed: 0 };
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  readonly #waiting = new Set<Waiting>();
  #fails = false;

  constructor(scheduler: Scheduler, random: Random) {
    this.#scheduler = scheduler;
    this.#random = random;
  }

  get hangs(): boolean {
    return this.#scheduler.nowMs < this.untilMs;
  }

  /** Begins a hang; one that is under way goes on. */
  hang(): void {
    if (this.hangs) return;
    this.made.diskHang += 1;
    this.#fails = this.#random.chance(FAILS);
    this.sinceMs = this.#scheduler.nowMs;
    this.untilMs = this.sinceMs + 1000 + this.#random.int(this.#random.chance(0.5) ? SHORT_MS : LONG_MS);
  }

  /** The disk answers again. */
  end(): void {
    this.untilMs = 0;
    for (const { resolve } of this.#waiting) resolve();
    this.#waiting.clear();
  }

  /**
   * The daemon was killed while operations hang: the kernel may carry out each of them, which it does before the next
   * instance gets the lock.
   */
  killed(killed: number): void {
    for (const waiting of this.#waiting) {
      if (waiting.epoch !== killed) continue;
      this.#waiting.delete(waiting);
      if (this.#random.chance(0.5)) quietly(waiting.goOn);
    }
  }

  lostPower(): void {
    this.#waiting.clear();
    this.untilMs = 0;
  }

  /**
   * Waits with a write of the journal while the disk hangs; undefined when it does not. Settles with whether the
   * operation fails.
   */
  heldWrite(epoch: number, goOn: () => void): Promise<boolean> | undefined {
    if (!this.hangs) return undefined;
    this.made.journalHeld += 1;
    const fails = this.#fails;
    return this.#wait(epoch, goOn).then(() => {
      if (fails) this.made.hangFailed += 1;
      return fails;
    });
  }

  /** Calls `begin` when the disk answers again, when the driver's bound is over, or when the call is aborted. */
  holdCall(
    epoch: number,
    fx: { readonly signal: AbortSignal; readonly timeoutMs: number },
    begin: () => void,
  ): void {
    this.made.layerHeld += 1;
    const { scheduler, signal } = { scheduler: this.#scheduler, signal: fx.signal };
    const waiting: Waiting = { epoch, goOn: () => undefined, resolve: () => go() };
    const go = (): void => {
      cancel();
      signal.removeEventListener('abort', go);
      this.#waiting.delete(waiting);
      begin();
    };
    const cancel = scheduler.after(epoch, Math.min(this.untilMs - scheduler.nowMs, fx.timeoutMs), go);
    signal.addEventListener('abort', go, { once: true });
    this.#waiting.add(waiting);
  }

  /** Whether a port call of this name waits for the disk. */
  holds(label: string): boolean {
    return this.hangs && ON_DISK.some((prefix) => label.startsWith(prefix));
  }

  #wait(epoch: number, goOn: () => void): Promise<void> {
    return new Promise<void>((resolve) => {
      const waiting = { epoch, goOn, resolve };
      this.#waiting.add(waiting);
      this.#scheduler.after(epoch, this.untilMs - this.#scheduler.nowMs, () => {
        if (this.#waiting.delete(waiting)) resolve();
      });
    });
  }
}

/** What an operation answers that the disk has given up. */
export function givenUp(): never {
  throw new DiskError('EIO', 'the disk gave up');
}

function quietly(act: () => void): void {
  try {
    act();
  } catch {
    // its caller is dead
  }
}
