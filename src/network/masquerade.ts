/**
 * Keeps the masquerade rules of the default network: made before the first ADD, made again when somebody has flushed
 * them. Pods start without them, too: each other, the node and host ports are then still in reach, and the condition
 * says what is missing.
 */
import { fail, toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { readSmallFile } from '../host/files/small-file.ts';
import { writeWhole } from '../host/files/whole-file.ts';
import type { ClockPort } from '../ports/clock.ts';
import { networkLimits } from './bounds.ts';
import type { MasqueradeRule } from './masquerade-rules.ts';
import type { MasqueradeTool } from './masquerade-tools.ts';
import { masqueradeTools } from './masquerade-tools.ts';
import type { RunTool } from './plugin.ts';
import { TOOL_DIRS } from './plugin.ts';

/**
 * Name of a file in the state directory that holds the bridge's name from before the rules are made. So `wipe` removes
 * them only for the instance that has made them, and the next boot of the daemon knows that pods may need them. The
 * state directory and the rules are gone after a reboot.
 */
export const MASQUERADE_FILE = 'network.masquerade';

/** The bridge in that file; undefined when the instance has made no rules. */
export async function masqueradedBridge(file: string): Promise<string | undefined> {
  const bytesMax = networkLimits.masqueradeFileBytes;
  return (await readSmallFile(file, { usualBytes: bytesMax, bytesMax }))?.trim();
}

export interface MasqueradeOptions {
  /** One for each address family. */
  readonly rules: readonly MasqueradeRule[];
  /** Path of MASQUERADE_FILE. */
  readonly file: string;
  readonly runTool: RunTool;
  readonly toolDirs?: readonly string[];
  readonly clock: Pick<ClockPort, 'monoMs'>;
  /** Receives after each attempt why a subnet has no rule; the empty text when it has one. */
  readonly report: (rule: MasqueradeRule, problem: string) => void;
  readonly log: Log;
}

export class Masquerade {
  readonly #options: MasqueradeOptions;
  readonly #abort = new AbortController();
  readonly #tools: readonly MasqueradeTool[];
  /** The tool that made a rule; absent while the rule could not be made. */
  readonly #made = new Map<MasqueradeRule, MasqueradeTool>();
  #rules: readonly MasqueradeRule[];
  #first: Promise<void> | undefined;
  #isMade = false;
  #checking: Promise<void> | undefined;
  #checkedMs = 0;

  constructor(options: MasqueradeOptions) {
    this.#options = options;
    this.#rules = options.rules;
    const { runTool, toolDirs = TOOL_DIRS } = options;
    this.#tools = masqueradeTools({ runTool, toolDirs, signal: this.#abort.signal });
  }

  /** Takes the rules that were made away; the new ones are made with the next `ensure`. For a bridge without pods. */
  async replace(rules: readonly MasqueradeRule[]): Promise<void> {
    await this.#first;
    await this.#checking;
    for (const [rule, tool] of this.#made) await tool.remove(rule);
    for (const rule of this.#rules) this.#options.report(rule, '');
    this.#rules = rules;
    this.#made.clear();
    this.#first = undefined;
    this.#isMade = false;
  }

  /** Whether `ensure` has nothing to wait for. */
  get isMade(): boolean {
    return this.#isMade;
  }

  /** Begins to make the rules again that an earlier boot of the daemon has made. Never rejects. */
  async resume(): Promise<void> {
    const bridge = await masqueradedBridge(this.#options.file).catch(() => undefined);
    if (bridge !== undefined) void this.ensure();
  }

  /**
   * Makes the rules, once; a later call waits for the first one at most. Never rejects: what fails is reported and
   * tried again by `check`.
   */
  async ensure(): Promise<void> {
    this.#first ??= this.#begin();
    await this.#first;
  }

  async #begin(): Promise<void> {
    const { file, log } = this.#options;
    // without the file the rules work as well, and only a wipe misses them
    await writeWhole(file, `${this.#rules[0]?.bridge ?? ''}\n`, 0o600).catch((error: unknown) =>
      log.warn({ file, error: String(error) }, 'could not record that masquerade rules are made'),
    );
    await this.#each((rule) => this.#make(rule));
    this.#isMade = true;
  }

  /**
   * Makes again what is missing; for each scan of the configuration. Does nothing before `ensure`, and nothing soon
   * after the last check, since a check costs a process for each rule. Never rejects.
   */
  async check(): Promise<void> {
    if (!this.#isMade || this.#abort.signal.aborted) return;
    const isWhole = this.#made.size === this.#rules.length;
    const sinceMs = this.#options.clock.monoMs() - this.#checkedMs;
    if (sinceMs < (isWhole ? networkLimits.masqueradeCheckMs : networkLimits.masqueradeRetryMs)) return;
    this.#checking ??= this.#each((rule) => this.#checkOne(rule)).finally(() => {
      this.#checking = undefined;
    });
    await this.#checking;
  }

  /** Kills what runs. The rules stay: pods need them while no daemon runs. */
  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#first;
    await this.#checking;
  }

  /** One after the other: all are transactions on the same rule set, of which the kernel may refuse a second one. */
  async #each(work: (rule: MasqueradeRule) => Promise<void>): Promise<void> {
    for (const rule of this.#rules) {
      try {
        await work(rule);
        this.#options.report(rule, '');
      } catch (error) {
        if (this.#abort.signal.aborted) return;
        this.#options.report(rule, toFault(error).message);
      }
    }
    this.#checkedMs = this.#options.clock.monoMs();
  }

  async #checkOne(rule: MasqueradeRule): Promise<void> {
    const state = await this.#made.get(rule)?.read(rule);
    if (state === 'whole') return;
    if (state !== undefined) {
      const { bridge: network, subnet } = rule;
      this.#options.log.warn({ network, subnet }, 'masquerade rule was removed by others; it is made again');
    }
    await this.#make(rule);
  }

  /** The first tool that succeeds, since a kernel may have the part of one tool only. */
  async #make(rule: MasqueradeRule): Promise<void> {
    this.#made.delete(rule);
    const problems: string[] = [];
    for (const tool of this.#tools) {
      if (!(await tool.has(rule.family))) continue;
      try {
        await tool.make(rule);
        this.#made.set(rule, tool);
        return;
      } catch (error) {
        problems.push(toFault(error).message);
      }
    }
    const programs = `nft or ${rule.family === 4 ? 'iptables' : 'ip6tables'}`;
    const dirs = (this.#options.toolDirs ?? TOOL_DIRS).join(', ');
    const reason =
      problems.length > 0 ? problems.join('; ') : `install nftables or iptables: no ${programs} in ${dirs}`;
    fail('outside', `make masquerade rule of ${rule.subnet}: ${reason}`, { subject: rule.bridge });
  }
}
