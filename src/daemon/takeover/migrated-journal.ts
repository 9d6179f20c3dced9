/**
 * Whether only a newer program can take over: the daemon that had taken over may have migrated the journal before it
 * ended. The program at this daemon's path is the old one unless a package has put the new one there: then it never
 * serves again, and whoever reads the log has to know what to install.
 */
import type { ClockPort } from '../../ports/clock.ts';
import { toFault } from '../../base/fault.ts';
import type { Log } from '../../base/log.ts';
import { within } from '../../host/clock/wait.ts';
import { takeOverLimits } from '../bounds.ts';
import type { HandingNode } from './handing-node.ts';
import type { Hello } from './messages.ts';

/** The journal as only a newer program than this one reads it. */
export interface Migrated {
  readonly format: number;
  readonly by: string;
}

/** Why a program of this version can't go on with it, and what an operator can do. */
export const tooOld = (version: string, journal: number, { format, by }: Migrated): string =>
  `${version} reads the journal up to version ${journal}: ${by} has migrated it to ${format}; ` +
  `install ${by} or a newer version and run its "troupe upgrade"`;

export class MigratedJournal {
  readonly #node: Pick<HandingNode, 'migrated'>;
  readonly #clock: ClockPort;
  readonly #log: Log;
  /** Of all daemons that were handed to, the one that reads the newest journal: it has migrated it, if one has. */
  #newest: Hello | undefined;
  #reading: Promise<string | undefined> | undefined;
  #reason: string | undefined;

  constructor(node: Pick<HandingNode, 'migrated'>, clock: ClockPort, log: Log) {
    this.#node = node;
    this.#clock = clock;
    this.#log = log;
  }

  /** Why a program like this one can't take over any more; undefined as long as none is known. */
  get reason(): string | undefined {
    return this.#reason;
  }

  /** The node is handed to this daemon. */
  handedTo(hello: Hello): void {
    if (hello.journal >= (this.#newest?.journal ?? 0)) this.#newest = hello;
  }

  /** Reads the journal's format, and logs the reason once. Bounded, since its disk may hang; never rejects. */
  async note(): Promise<void> {
    // one read at a time: each that hangs has a thread of the pool
    this.#reading ??= this.#node
      .migrated(this.#newest?.version ?? '')
      .finally(() => (this.#reading = undefined));
    const bound = { clock: this.#clock, timeoutMs: takeOverLimits.answerMs };
    const found = await within(bound, this.#reading).catch((thrown: unknown) => {
      this.#log.warn({ reason: toFault(thrown).message }, 'read the format of the journal: failed');
      return undefined;
    });
    const reason = found === 'timedOut' || found === 'cancelled' ? undefined : found;
    if (reason === undefined || reason === this.#reason) return;
    this.#reason = reason;
    this.#log.error({ reason }, 'the daemon that had taken over has migrated the journal');
  }
}
