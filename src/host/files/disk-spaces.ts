/**
 * The space of the daemon's file systems, for people. The figures are read in the background: a file system that does
 * not answer occupies one thread of the pool and keeps its last figures.
 */
import { stat, statfs } from 'node:fs/promises';
import type { ClockPort } from '../../ports/clock.ts';
import { hostLimits } from '../bounds.ts';
import { leastFreeBytes } from './free-space.ts';

export interface DiskFigures {
  readonly path: string;
  /** What is kept there. */
  readonly holds: readonly string[];
  readonly totalBytes: number;
  /** Without the blocks reserved for root. */
  readonly freeBytes: number;
  readonly reserveBytes: number;
}

interface Place {
  readonly path: string;
  readonly holds: string;
}

interface DiskReading extends Omit<DiskFigures, 'holds'> {
  readonly device: number;
}

export class DiskSpaces {
  readonly #places: readonly Place[];
  readonly #clock: Pick<ClockPort, 'monoMs'>;
  readonly #readings = new Map<string, DiskReading>();
  /** Paths whose reading is under way. */
  readonly #reading = new Set<string>();
  #readAtMs = Number.NEGATIVE_INFINITY;

  constructor(places: readonly Place[], clock: Pick<ClockPort, 'monoMs'>) {
    this.#places = places;
    this.#clock = clock;
  }

  /** The last figures, one entry for each file system. */
  figures(): readonly DiskFigures[] {
    const byDevice = new Map<number, { readonly reading: DiskReading; readonly holds: string[] }>();
    for (const { path, holds } of this.#places) {
      const reading = this.#readings.get(path);
      if (reading === undefined) continue;
      const known = byDevice.get(reading.device);
      if (known === undefined) byDevice.set(reading.device, { reading, holds: [holds] });
      else known.holds.push(holds);
    }
    return [...byDevice.values()].map(
      ({ reading: { path, totalBytes, freeBytes, reserveBytes }, holds }) => ({
        path,
        holds,
        totalBytes,
        freeBytes,
        reserveBytes,
      }),
    );
  }

  /** Reads every place whose figures are older than `diskFiguresMs`. */
  async renew(): Promise<void> {
    if (this.#clock.monoMs() - this.#readAtMs >= hostLimits.diskFiguresMs) await this.read();
  }

  /** Reads every place that is not being read; resolves when those have answered. */
  async read(): Promise<void> {
    this.#readAtMs = this.#clock.monoMs();
    const free = this.#places.filter(({ path }) => !this.#reading.has(path));
    await Promise.all(free.map(({ path }) => this.#readOne(path)));
  }

  async #readOne(path: string): Promise<void> {
    this.#reading.add(path);
    try {
      const { dev: device } = await stat(path);
      const { bsize, blocks, bavail } = await statfs(path);
      const totalBytes = blocks * bsize;
      const reserveBytes = leastFreeBytes(totalBytes);
      this.#readings.set(path, { path, device, totalBytes, freeBytes: bavail * bsize, reserveBytes });
    } catch {
      // not made yet, or unmounted: nothing is shown of it
      this.#readings.delete(path);
    } finally {
      this.#reading.delete(path);
    }
  }
}
