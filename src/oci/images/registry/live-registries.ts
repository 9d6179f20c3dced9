/**
 * registries.conf as it is now: its files are looked at every few seconds, so that a mirror that an operator adds counts
 * without a signal. A change that would refuse pulls because it is not understood is reported, and what was in effect stays.
 */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ClockPort, TimerHandle } from '../../../ports/clock.ts';
import { distributionLimits } from '../bounds.ts';
import type { Log } from '../../../base/log.ts';
import { codeOf, missingAs } from '../../../host/ffi/errno.ts';
import { namesOf } from '../../../host/files/names-of.ts';
import { loadRegistries } from './load-registries.ts';
import { emptyRegistriesConf, hasRefusals, type RegistriesConf } from './registries-conf.ts';

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
  /** Whether what is in effect refuses no pull for being not understood. */
  #isUsable = false;
  #timer: TimerHandle | undefined;
  #isClosed = false;
  #problems: ReadonlyMap<string, string> = new Map();

  constructor(clock: Pick<ClockPort, 'setTimeout' | 'clearTimeout'>, log: Log) {
    this.#clock = clock;
    this.#log = log;
  }

  /** From memory. */
  get current(): RegistriesConf {
    return this.#conf;
  }

  /** What is wrong with the files as they were read last, by path. From memory. */
  get problems(): ReadonlyMap<string, string> {
    return this.#problems;
  }

  /** Reads these files; what is returned puts them into effect. */
  async prepare(paths: RegistriesPaths): Promise<() => void> {
    // the marks first: what changes after them is seen at the next look
    const marks = await marksOf(paths);
    const conf = await loadRegistries(paths);
    return () => {
      this.#paths = paths;
      this.#put(conf, marks);
      this.#arm();
    };
  }

  /** One look. Never rejects. */
  async look(): Promise<void> {
    const paths = this.#paths;
    const marks = await marksOf(paths);
    if (marks !== this.#marks) {
      const conf = await loadRegistries(paths);
      if (paths === this.#paths && this.#put(conf, marks))
        this.#log.info({ ...paths }, 'registries.conf has changed and was read again');
    }
    this.#arm();
  }

  /** Whether something new is in effect: of what refuses pulls only the first one, since nothing better is known. */
  #put(conf: RegistriesConf, marks: string): boolean {
    const isBad = hasRefusals(conf);
    // a file that could not be read may be readable at the next look without a change
    this.#marks = conf.refusal === undefined ? marks : '';
    const before = reasonOf(this.#problems);
    this.#problems = conf.problems;
    if (isBad && this.#isUsable) {
      const reason = reasonOf(conf.problems);
      if (reason !== before)
        this.#log.error(
          { reason },
          'registries.conf has changed and can not be used; the one before stays in effect',
        );
      return false;
    }
    this.#conf = conf;
    this.#isUsable = !isBad;
    return !isBad;
  }

  /** Ends the looks. */
  close(): void {
    this.#isClosed = true;
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
  }

  #arm(): void {
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
    if (!this.#isClosed)
      this.#timer = this.#clock.setTimeout(() => void this.look(), distributionLimits.confLookMs);
  }
}

function reasonOf(problems: ReadonlyMap<string, string>): string {
  return [...problems].map(([path, problem]) => `${path}: ${problem}`).join('; ');
}

async function marksOf({ file, directory }: RegistriesPaths): Promise<string> {
  const names = directory === '' ? [] : await namesOf(directory).catch(() => []);
  const files = [
    file,
    ...names
      .filter((name) => name.endsWith('.conf'))
      .toSorted()
      .map((name) => join(directory, name)),
  ];
  const marks = files
    .filter((path) => path !== '')
    .slice(0, distributionLimits.confFiles + 1)
    .map(async (path) => {
      const seen = await missingAs(stat(path, { bigint: true }), undefined).catch(
        (thrown: unknown) => `${path} ${codeOf(thrown) ?? ''}`,
      );
      if (typeof seen === 'string') return seen;
      return seen === undefined ? '' : `${path} ${seen.ino} ${seen.size} ${seen.ctimeNs}`;
    });
  return (await Promise.all(marks)).join('\n');
}
