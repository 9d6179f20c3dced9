/**
 * The two programs that make masquerade rules: nft, which has a table of our own for each bridge, and iptables, with a
 * chain of our own in the nat table that others share. One effect per call, idempotent.
 */
import { fail } from '../base/fault.ts';
import { networkLimits } from './bounds.ts';
import { jumpsTo, NO_CHAIN, NO_TABLE, removal } from './firewall.ts';
import type { MasqueradeRule } from './masquerade-rules.ts';
import {
  iptablesHas,
  iptablesJump,
  iptablesRules,
  masqueradeChain,
  nftHas,
  nftRemoval,
  nftRules,
  nftTable,
} from './masquerade-rules.ts';
import type { RunTool } from './plugin.ts';
import { decode, findExecutable, quote, runNamed } from './plugin.ts';

/** `partial` when something of ours is there, but not the whole rule. */
export type RuleState = 'whole' | 'partial' | 'absent';

export type MasqueradeToolName = 'nft' | 'iptables';

export interface MasqueradeTool {
  readonly name: MasqueradeToolName;
  /** Whether the programs for this family are installed. */
  readonly has: (family: 4 | 6) => Promise<boolean>;
  /** Makes or replaces the rule. Throws `outside` or `timedOut`, as the others do. */
  readonly make: (rule: MasqueradeRule) => Promise<void>;
  readonly read: (rule: MasqueradeRule) => Promise<RuleState>;
  /** Succeeds when nothing is there. */
  readonly remove: (rule: MasqueradeRule) => Promise<void>;
}

export interface MasqueradeToolOptions {
  readonly runTool: RunTool;
  readonly toolDirs: readonly string[];
  readonly signal?: AbortSignal;
}

/** In the order of preference: a table of our own can't be flushed together with the rules of others in nat. */
export function masqueradeTools(options: MasqueradeToolOptions): readonly MasqueradeTool[] {
  return [nftTool(options), iptablesTool(options)];
}

/** Removes the rules of a bridge that is removed for good, of both families, whichever tool has made them. */
export async function removeMasquerade(options: MasqueradeToolOptions, bridge: string): Promise<void> {
  for (const tool of masqueradeTools(options)) {
    for (const family of [4, 6] as const)
      if (await tool.has(family)) await tool.remove({ bridge, family, subnet: '' });
  }
}

/** What nft prints for an absent table, and on a kernel without nftables or without the address family. */
const NO_NFT_TABLE = /No such file or directory|(?:Protocol|Operation|Address family) not supported/u;

interface Answer {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly said: string;
}

function nftTool(options: MasqueradeToolOptions): MasqueradeTool {
  const read = async (rule: MasqueradeRule): Promise<RuleState> => {
    const { exitCode, stdout, said } = await run(options, 'nft', ['list', ...nftTable(rule)]);
    if (exitCode === 0) return nftHas(rule, stdout) ? 'whole' : 'partial';
    return NO_NFT_TABLE.test(said) ? 'absent' : failed('nft list', exitCode, said);
  };
  return {
    name: 'nft',
    has: async () => (await findExecutable('nft', options.toolDirs)) !== undefined,
    make: async (rule) => restore(options, 'nft', ['-f', '-'], nftRules(rule)),
    read,
    // not on a kernel without nftables, where the removal would fail
    remove: async (rule) => {
      if ((await read(rule)) !== 'absent') await restore(options, 'nft', ['-f', '-'], nftRemoval(rule));
    },
  };
}

function iptablesTool(options: MasqueradeToolOptions): MasqueradeTool {
  const named = (family: 4 | 6, rest = ''): string => `${family === 4 ? 'ip' : 'ip6'}tables${rest}`;
  const noFlush = ['-w', '--noflush'];
  // each exit code but 0 counts as "no jump": the codes differ between versions, and a second jump does no harm
  const hasJump = async ({ bridge, family }: MasqueradeRule): Promise<boolean> => {
    const args = ['-w', '-t', 'nat', '-C', 'POSTROUTING', ...iptablesJump(bridge)];
    return (await run(options, named(family), args)).exitCode === 0;
  };
  const read = async (rule: MasqueradeRule): Promise<RuleState> => {
    const program = named(rule.family);
    const args = ['-w', '-t', 'nat', '-S', masqueradeChain(rule.bridge)];
    const { exitCode, stdout, said } = await run(options, program, args);
    if (exitCode === 0) return iptablesHas(rule, stdout) && (await hasJump(rule)) ? 'whole' : 'partial';
    return NO_CHAIN.test(said) || NO_TABLE.test(said) ? 'absent' : failed(`${program} -S`, exitCode, said);
  };
  return {
    name: 'iptables',
    has: async (family) => (await findExecutable(named(family), options.toolDirs)) !== undefined,
    make: async (rule) =>
      restore(options, named(rule.family, '-restore'), noFlush, iptablesRules(rule, await hasJump(rule))),
    read,
    remove: async (rule) => {
      if ((await read(rule)) === 'absent') return;
      const save = named(rule.family, '-save');
      const { exitCode, stdout, said } = await run(options, save, ['-t', 'nat']);
      if (exitCode !== 0) failed(save, exitCode, said);
      const chain = masqueradeChain(rule.bridge);
      await restore(options, named(rule.family, '-restore'), noFlush, removal(jumpsTo(stdout, chain), chain));
    },
  };
}

async function restore(
  options: MasqueradeToolOptions,
  program: string,
  args: readonly string[],
  input: string,
): Promise<void> {
  const { exitCode, said } = await run(options, program, args, input);
  if (exitCode !== 0) failed(program, exitCode, said);
}

function failed(program: string, exitCode: number | null, said: string): never {
  return fail('outside', `${program}: exit code ${exitCode}: ${quote(said.trim())}`, { subject: program });
}

async function run(
  { runTool, toolDirs, signal }: MasqueradeToolOptions,
  program: string,
  args: readonly string[],
  stdin = '',
): Promise<Answer> {
  const path = await findExecutable(program, toolDirs);
  if (path === undefined)
    return fail('outside', `${program}: not found in ${toolDirs.join(', ')}`, { subject: program });
  const timeoutMs = networkLimits.masqueradeToolMs;
  const { exitCode, stdout, stderr, timedOut, truncated } = await runNamed(runTool, program, {
    argv: [path, ...args],
    env: { PATH: toolDirs.join(':') },
    stdin: Buffer.from(stdin),
    timeoutMs,
    outputBytesMax: networkLimits.firewallOutputBytes,
    ...(signal === undefined ? {} : { signal }),
  });
  if (timedOut) fail('timedOut', `${program}: timed out after ${timeoutMs} ms`, { subject: program });
  if (truncated) fail('outside', `${program}: incomplete output`, { subject: program });
  return { exitCode, stdout: decode(stdout), said: decode(stderr) };
}
