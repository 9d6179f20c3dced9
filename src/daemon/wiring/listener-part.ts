/** A listener beside the CRI's, which a reload replaces where its part of the configuration has changed. */
import { launchLimits } from '../bounds.ts';
import type { Config } from '../config/config-schema.ts';
import { LatePart } from './optional-part.ts';
import type { PartReport } from './optional-part.ts';

export interface ListenerPartOptions<T> {
  /** Its name in the condition PartsStarted. */
  readonly name: string;
  /** What of the configuration it depends on, as a text. */
  readonly keyOf: (config: Config) => string;
  /** Undefined where the configuration wants none. */
  readonly listen: (config: Config) => Promise<T | undefined>;
}

/** A taken port or an unreadable certificate ends neither start nor reload: it is reported and tried again. */
export class ListenerPart<T> {
  readonly #report: PartReport;
  readonly #options: ListenerPartOptions<T>;
  #key: string;
  #part: LatePart<T | undefined>;

  constructor(config: Config, report: PartReport, options: ListenerPartOptions<T>) {
    this.#report = report;
    this.#options = options;
    this.#key = options.keyOf(config);
    this.#part = this.#partOf(config);
  }

  /** The listener, where one is configured and listens. */
  get value(): T | undefined {
    return this.#part.value;
  }

  start(): Promise<void> {
    return this.#part.start();
  }

  close(): Promise<void> {
    return this.#part.close();
  }

  /** Listens anew if its part of the configuration has changed. */
  async reload(config: Config): Promise<void> {
    const key = this.#options.keyOf(config);
    if (key === this.#key) return;
    this.#key = key;
    const old = this.#part;
    this.#part = this.#partOf(config);
    // it may have the same port
    await old.close();
    await this.#part.start();
  }

  #partOf(config: Config): LatePart<T | undefined> {
    const { name, listen } = this.#options;
    this.#report.conditions.clear('PartsStarted', name);
    return new LatePart(this.#report, name, () => listen(config), { againMs: launchLimits.partAgainMs });
  }
}
