/**
 * Checks whether containers of a handler can be checkpointed on this machine: the runtime must support it, and CRIU
 * must work with this kernel.
 */
import { dirname } from 'node:path';
import type { ClockPort } from '../../../ports/clock.ts';
import { fail, printable } from '../../../base/fault.ts';
import { checkpointLimits, monitorLimits } from '../bounds.ts';
import { runTool } from '../../../host/process/process-tool.ts';
import { CHECKPOINT_ANNOTATION } from '../handlers/features.ts';
import type { Handler } from '../handlers/handlers.ts';

/** The CRIU program, or why it was not found. */
export type Criu = { readonly path: string } | { readonly missing: string };

export class Ability {
  readonly #criu: Criu;
  readonly #toolPath: string;
  readonly #clock: ClockPort;
  /**
   * Programs that were found to work. A failure is checked again with the next call, since it may have been repaired.
   */
  readonly #works = new Set<string>();

  constructor(criu: Criu, toolPath: string, clock: ClockPort) {
    this.#criu = criu;
    this.#toolPath = toolPath;
    this.#clock = clock;
  }

  /** PATH for a runtime that must find CRIU, for which it has no option (runc 1.2 removed it). */
  get path(): string {
    return 'path' in this.#criu ? `${dirname(this.#criu.path)}:${this.#toolPath}` : this.#toolPath;
  }

  /** Throws `unsupported` with what is missing. */
  async demand(handler: Handler, attempted: string): Promise<void> {
    const lacks = (what: string): never =>
      fail('unsupported', `${attempted}: ${what}`, { subject: handler.name });
    if (handler.kind === 'vm')
      lacks(`runtime handler ${handler.name} runs virtual machines, which CRIU cannot checkpoint`);
    if ('missing' in this.#criu) return lacks(this.#criu.missing);
    const check = await this.#ask(this.#criu.path, 'check');
    if (check !== undefined)
      lacks(`CRIU does not work on this machine: ${this.#criu.path} check: ${check.problem}`);
    if (this.#works.has(handler.path)) return;
    const features = await this.#run([handler.path, 'features']);
    const can = features.ok
      ? saysYes(features.text)
      : (await this.#run([handler.path, 'checkpoint', '--help'])).ok;
    if (!can) lacks(`${handler.path} does not support checkpoints`);
    this.#works.add(handler.path);
  }

  /** Undefined when the program works. */
  async #ask(program: string, word: string): Promise<{ readonly problem: string } | undefined> {
    if (this.#works.has(program)) return undefined;
    const answer = await this.#run([program, word]);
    if (!answer.ok) return answer;
    this.#works.add(program);
    return undefined;
  }

  async #run(
    argv: readonly string[],
  ): Promise<{ readonly ok: boolean; readonly text: string; readonly problem: string }> {
    const result = await runTool({
      argv,
      env: { PATH: this.path },
      timeoutMs: checkpointLimits.probeMs,
      clock: this.#clock,
    });
    const said =
      printable(Buffer.from(result.stderr).toString('utf8').slice(0, monitorLimits.quotedChars)) ||
      'no error message';
    const how = result.timedOut
      ? `timed out after ${checkpointLimits.probeMs} ms`
      : `exit code ${result.exitCode ?? -1}`;
    return {
      ok: result.exitCode === 0 && !result.timedOut,
      text: Buffer.from(result.stdout).toString('utf8'),
      problem: `${how}: ${said}`,
    };
  }
}

function saysYes(features: string): boolean {
  try {
    const { annotations } = JSON.parse(features) as {
      readonly annotations?: Readonly<Record<string, unknown>>;
    };
    return annotations?.[CHECKPOINT_ANNOTATION] === 'true';
  } catch {
    return false;
  }
}
