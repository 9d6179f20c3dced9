/**
 * registries.conf as it is now: its files are looked at every few seconds, so that a mirror that an operator adds counts
 * without a signal. What can't be read is told once and changes nothing.
 */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ClockPort, TimerHandle } from '../../actors/ports/clock.ts';
import { toFault } from '../../base/fault.ts';
import { distributionLimits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import { missingAs } from '../../host/errno.ts';
import { namesOf } from '../../host/names-of.ts';
import { loadRegistries } from './load-registries.ts';
import { emptyRegistriesConf, type RegistriesConf } from './registries-conf.ts';

export interface RegistriesPaths {
  readonly file: string;
  readonly directory: string;
}

export class LiveRegistries {
  readonly #clock: Pick<ClockPort, 'setTimeout' | 'clearTimeout'>;
  readonly #log: Log;
  #paths: RegistriesPaths = { file: '', directory: '' };
  #conf: RegistriesConf = emptyRegistriesConf;
  /** Names, sizes and times of the files that are in effect. */
  #marks = '';
  /** What was wrong at the last look. */
  #told = '';
  #timer: TimerHandle | undefined;
  #isClosed = false;

  constructor(clock: Pick<ClockPort, 'setTimeout' | 'clearTimeout'>, log: Log) {
    this.#clock = clock;
    this.#log = log;
  }

  /** From memory. */
  get current(): RegistriesConf {
    return this.#conf;
  }

  /** Reads these files; what is returned puts them into effect. Rejects with `invalidRequest`, file and line. */
  async prepare(paths: RegistriesPaths): Promise<() => void> {
    // the marks first: what changes after them is seen at the next look
    const marks = await marksOf(paths);
    const conf = await loadRegistries(paths);
    return () => {
      this.#paths = paths;
      this.#conf = conf;
      this.#marks = marks;
      this.#arm();
    };
  }

  /** One look. Never rejects. */
  async look(): Promise<void> {
    const paths = this.#paths;
    try {
      const marks = await marksOf(paths);
      if (marks !== this.#marks) {
        const conf = await loadRegistries(paths);
        if (paths === this.#paths) {
          this.#conf = conf;
          this.#marks = marks;
        }
        this.#log.info({ ...paths }, 'registries.conf has changed and was read again');
      }
      this.#told = '';
    } catch (error) {
      const reason = toFault(error).message;
      if (reason !== this.#told) this.#log.error({ reason }, 'registries.conf has changed and can not be used; the one before stays in effect');
      this.#told = reason;
    }
    this.#arm();
  }

  /** Ends the looks. */
  close(): void {
    this.#isClosed = true;
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
  }

  #arm(): void {
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
    if (!this.#isClosed) this.#timer = this.#clock.setTimeout(() => void this.look(), distributionLimits.confLookMs);
  }
}

async function marksOf({ file, directory }: RegistriesPaths): Promise<string> {
  const names = directory === '' ? [] : await namesOf(directory);
  const files = [file, ...names.filter((name) => name.endsWith('.conf')).toSorted().map((name) => join(directory, name))];
  const marks = files.filter((path) => path !== '').slice(0, distributionLimits.confFiles + 1).map(async (path) => {
    const seen = await missingAs(stat(path, { bigint: true }), undefined);
    return seen === undefined ? '' : `${path} ${seen.ino} ${seen.size} ${seen.mtimeNs}`;
  });
  return (await Promise.all(marks)).join('\n');
}
