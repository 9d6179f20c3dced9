/** Makes the dumps that signals ask for (docs/under-systemd.md). */
import { fail, toFault } from '../../base/fault.ts';
import type { Log } from '../../base/log.ts';
import type { ClockPort } from '../../ports/clock.ts';
import { within } from '../../host/clock/wait.ts';
import { dumpLimits } from '../bounds.ts';
import { writeDump } from './dump-files.ts';
import type { DumpKind } from './dump-signals.ts';
import type { DumpSources } from './dump-sources.ts';
import { heapSummary } from './heap-summary.ts';
import type { LastErrors } from './last-errors.ts';
import { stateDump } from './state-dump.ts';

interface DumpsOptions {
  /** The state directory. */
  readonly state: string;
  readonly clock: ClockPort;
  readonly log: Log;
  readonly errors: LastErrors;
  readonly version: string;
  readonly pid: number;
}

export class Dumps {
  readonly #options: DumpsOptions;
  #sources: DumpSources | undefined;
  readonly #reading = { isUnderWay: false };
  #isWriting = false;

  constructor(options: DumpsOptions) {
    this.#options = options;
  }

  /** From now on dumps show the daemon's parts, and before only the process. */
  watch(sources: DumpSources): void {
    this.#sources = sources;
  }

  /** Writes one, and a line to the log: where it is, or why it failed. */
  async make(kind: DumpKind): Promise<void> {
    const { clock, log } = this.#options;
    const startMs = clock.monoMs();
    const ms = (): number => Math.round(clock.monoMs() - startMs);
    try {
      const given = {
        ...this.#options,
        nowNs: clock.nowNs(),
        sources: this.#sources,
        reading: this.#reading,
      };
      const text = kind === 'heap' ? heapSummary(given) : await stateDump(given);
      const file = await this.#write(kind, text, given.nowNs);
      log.info({ kind, file, bytes: Buffer.byteLength(text), ms: ms() }, 'wrote a dump');
    } catch (thrown) {
      log.error({ kind, reason: toFault(thrown).message, ms: ms() }, 'write a dump: failed');
    }
  }

  async #write(kind: DumpKind, text: string, nowNs: bigint): Promise<string> {
    const { state, clock, pid } = this.#options;
    if (this.#isWriting) fail('timedOut', `${state} has not answered an earlier one yet`);
    this.#isWriting = true;
    const writing = writeDump(state, kind, { text, nowNs, pid }).finally(() => {
      this.#isWriting = false;
    });
    const path = await within({ clock, timeoutMs: dumpLimits.writeMs }, writing);
    if (path !== 'timedOut') return path;
    return fail('timedOut', `${state} has not answered for ${dumpLimits.writeMs} ms`);
  }
}
