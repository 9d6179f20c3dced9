/**
 * Keeps registries.conf up to date. Its files are polled every few seconds, so that an operator's change takes effect
 * without a signal. A change that cannot be parsed and would refuse pulls is reported, and the previous content stays
 * in effect.
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
  /** Names, sizes and times of the files in effect. */
  #marks = '';
  /** Whether the content in effect could be parsed, so that it refuses no pull by mistake. */
  #isUsable = false;
  #timer: TimerHandle | undefined;
  #isClosed = false;
  #problems: ReadonlyMap<string, string> = new Map();

  constructor(clock: Pick<ClockPort, 'setTimeout' | 'clearTimeout'>, log: Log) {
    this.#clock = clock;
    this.#log = log;
  }

  /** The configuration in effect. Reads no file. */
  get current(): RegistriesConf {
    return this.#conf;
  }

  /** Problems found when the files were last read, by path. Reads no file. */
  get problems(): ReadonlyMap<string, string> {
    return this.#problems;
  }

  /** Reads these files. The returned function puts them into effect. */
  async prepare(paths: RegistriesPaths): Promise<() => void> {
    // stat the files before reading them: a later change is seen at the next poll
    const marks = await marksOf(paths);
    const conf = await loadRegistries(paths);
    return () => {
      this.#paths = paths;
      this.#put(conf, marks);
      this.#arm();
    };
  }

  /** Polls the files once. Never rejects. */
  async poll(): Promise<void> {
    const paths = this.#paths;
    const marks = await marksOf(paths);
    if (marks !== this.#marks) {
      const conf = await loadRegistries(paths);
      if (paths === this.#paths && this.#put(conf, marks))
        this.#log.info({ ...paths }, 'reloaded registries.conf');
    }
    this.#arm();
  }

  /**
   * Puts a configuration into effect and returns whether it did. One with refusals is used only if there is no better
   * one.
   */
  #put(conf: RegistriesConf, marks: string): boolean {
    const isBad = hasRefusals(conf);
    // a file that could not be read may be readable at the next poll without having changed
    this.#marks = conf.refusal === undefined ? marks : '';
    const before = reasonOf(this.#problems);
    this.#problems = conf.problems;
    if (isBad && this.#isUsable) {
      const reason = reasonOf(conf.problems);
      if (reason !== before)
        this.#log.error({ reason }, 'reload registries.conf: refused; the previous content stays in effect');
      return false;
    }
    this.#conf = conf;
    this.#isUsable = !isBad;
    return !isBad;
  }

  /** Stops polling. */
  close(): void {
    this.#isClosed = true;
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
  }

  #arm(): void {
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
    if (!this.#isClosed)
      this.#timer = this.#clock.setTimeout(() => void this.poll(), distributionLimits.confPollMs);
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
