/** Whether a handler's containers can be read on this machine: the runtime must know how, and CRIU must work with this kernel. */
import { dirname } from 'node:path';
import type { ClockPort } from '../../../ports/clock.ts';
import { fail, printable } from '../../../base/fault.ts';
import { checkpointLimits, monitorLimits } from '../bounds.ts';
import { runTool } from '../../../host/process/process-tool.ts';
import type { Handler } from '../handlers/handlers.ts';

/** The program, or why it is not there. */
export type Criu = { readonly path: string } | { readonly missing: string };

/** What `features` says for yes (the runtime spec's features.md lets annotations tell more; runc and crun use this one). */
const ANNOTATION = 'org.opencontainers.runc.checkpoint.enabled';

export class Ability {
  readonly #criu: Criu;
  readonly #toolPath: string;
  readonly #clock: ClockPort;
  /** What was found to work; a failure is looked at again with the next call, since it can be repaired meanwhile. */
  readonly #works = new Set<string>();

  constructor(criu: Criu, toolPath: string, clock: ClockPort) {
    this.#criu = criu;
    this.#toolPath = toolPath;
    this.#clock = clock;
  }

  /** PATH of a runtime that is to find CRIU: there is no option for it (runc 1.2 took it away). */
  get path(): string {
    return 'path' in this.#criu ? `${dirname(this.#criu.path)}:${this.#toolPath}` : this.#toolPath;
  }

  /** Throws `unsupported` that names what lacks. */
  async demand(handler: Handler, attempted: string): Promise<void> {
    const lacks = (what: string): never =>
      fail('unsupported', `${attempted}: ${what}`, { subject: handler.name });
    if (handler.kind === 'vm')
      lacks(`runtime handler ${handler.name} runs virtual machines, whose inside CRIU can't read`);
    if ('missing' in this.#criu) return lacks(this.#criu.missing);
    const check = await this.#ask(this.#criu.path, 'check');
    if (check !== undefined)
      lacks(`CRIU does not work on this machine: ${this.#criu.path} check: ${check.problem}`);
    if (this.#works.has(handler.path)) return;
    const features = await this.#run([handler.path, 'features']);
    const can = features.ok
      ? saysYes(features.text)
      : (await this.#run([handler.path, 'checkpoint', '--help'])).ok;
    if (!can) lacks(`${handler.path} was built without checkpoints`);
    this.#works.add(handler.path);
  }

  /** Undefined when it works. */
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
      ? `no end within ${checkpointLimits.probeMs} ms`
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
    return annotations?.[ANNOTATION] === 'true';
  } catch {
    return false;
  }
}
