/** `troupe upgrade`: starts a program that takes over, and says what becomes of it. One at a time. */
import { isAbsolute } from 'node:path';
import type { ClockPort } from '../../ports/clock.ts';
import { fail, toFault } from '../../base/fault.ts';
import type { Log } from '../../base/log.ts';
import { within } from '../../host/clock/wait.ts';
import type { HostIdentity } from '../../host/process/process-identity.ts';
import type { ExitStatus } from '../../host/process/process-reaper.ts';
import type { Spawned } from '../../host/process/process.ts';
import { takeOverLimits } from '../bounds.ts';
import type { HandingState } from './handing-node.ts';
import type { Link } from './link.ts';
import type { Upgrade } from './messages.ts';

export type StartedProgram = Pick<Spawned, 'pid' | 'identity' | 'exited'>;

type AnswerLink = Pick<Link, 'report' | 'close'>;

/** What it needs of the daemon. */
export interface UpgradingParts {
  readonly clock: ClockPort;
  readonly log: Log;
  state(): HandingState;
  /** Whether no daemon serves, and this one waits for a successor. */
  isWaiting(): boolean;
  /** The process that serves in place of this daemon, or did last. */
  successor(): number | undefined;
  /** Why this process was refused when it asked to take over; undefined if it was not. */
  refusalOf(pid: number): string | undefined;
  /** Calls the listener with each step of a hand-over; the result ends that. */
  watch(listener: (step: string) => void): () => void;
  start(program: string | undefined): Promise<StartedProgram>;
  kill(process: HostIdentity): void;
  /** Of the program that runs, as it was at the start. */
  readonly identity: string;
}

export class Upgrading {
  readonly #parts: UpgradingParts;
  #isUnderWay = false;

  constructor(parts: UpgradingParts) {
    this.#parts = parts;
  }

  /** Answers one request, and closes the link. Never rejects. */
  async serve(link: AnswerLink, { program, unless }: Upgrade): Promise<void> {
    if (unless === this.#parts.identity) {
      await link.report({ type: 'unchanged' });
      return link.close();
    }
    const stopWatching = this.#parts.watch((text) => void link.report({ type: 'step', text }));
    try {
      if (this.#isUnderWay) fail('conflict', 'another upgrade is under way');
      this.#isUnderWay = true;
      try {
        await this.#replace(link, program);
      } finally {
        this.#isUnderWay = false;
      }
      await link.report({ type: 'done' });
    } catch (thrown) {
      await link.report({ type: 'refused', reason: toFault(thrown).message });
    } finally {
      stopWatching();
      link.close();
    }
  }

  async #replace(link: AnswerLink, program: string | undefined): Promise<void> {
    const { log, start, state, isWaiting, kill, refusalOf } = this.#parts;
    // one whose successors have failed is glad of a program that does not, and need not find it by itself
    if (state() !== 'serving' && !isWaiting()) fail('conflict', 'another daemon takes over already');
    if (program !== undefined && !isAbsolute(program))
      fail('invalidRequest', `start ${program}: not an absolute path`, { subject: program });
    const started = await start(program);
    log.info({ pid: started.pid, program }, 'started a program to take over');
    await link.report({ type: 'step', text: `started process ${started.pid}` });
    const failure = await this.#failureOf(started);
    if (failure === undefined) return;
    kill(started.identity);
    const reason = refusalOf(started.pid) ?? "the daemon's log has its lines";
    fail('outside', `process ${started.pid} ${failure}: ${reason}`);
  }

  /** Why it has not taken over; undefined once it serves. */
  async #failureOf({ pid, exited }: Pick<StartedProgram, 'pid' | 'exited'>): Promise<string | undefined> {
    const { clock, state, isWaiting, successor } = this.#parts;
    const { helloMs, landMs, abortMs, recoverMs, pollMs } = takeOverLimits;
    const begunMs = clock.monoMs();
    for (;;) {
      const ended = await within({ clock, timeoutMs: pollMs }, exited);
      const now = state();
      if (now === 'passed' && successor() === pid) return undefined;
      const other = now === 'passed' ? `, process ${successor()} has` : '';
      if (typeof ended === 'object') return `ended${codeText(ended)} and has not taken over${other}`;
      const tookMs = clock.monoMs() - begunMs;
      if ((now === 'serving' || isWaiting()) && tookMs > helloMs)
        return `has not asked to take over within ${helloMs / 1000} s`;
      if (tookMs > helloMs + landMs + abortMs + recoverMs) return `has not taken over in time${other}`;
    }
  }
}

/** Nothing for a process whose status another one gets. */
function codeText({ exitCode, signal }: ExitStatus): string {
  if (exitCode !== null) return ` with ${exitCode}`;
  return signal === null ? '' : ` with signal ${signal}`;
}
