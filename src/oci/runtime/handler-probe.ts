/** Looks whether a handler's program works on this machine, and what it can. */
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import type { ClockPort } from '../../ports/clock.ts';
import { fail, printable, toFault } from '../../base/fault.ts';
import { driverLimits, monitorLimits } from './bounds.ts';
import { codeOf } from '../../host/ffi/errno.ts';
import { runTool } from '../../host/process/process-tool.ts';
import { probeShim } from './shim/probe.ts';
import { nothingProbed } from './handlers/handlers.ts';
import type { HandlerConfig, ProbeResult } from './handlers/handlers.ts';
import { hybridControllers, writeStandIn } from './handlers/hide-unified.ts';
import { knownFlaws } from './handlers/known-flaws.ts';

export interface ProbeOptions {
  readonly clock: ClockPort;
  /** PATH of the runtime. */
  readonly toolPath: string;
  /** Where stand-ins are written; must allow programs to be run (/run often does not). */
  readonly standInDir: string;
}

/** Looks whether the handler's binary works here and what it can. Never rejects: a failure is the reason. */
export async function probeHandler(handler: HandlerConfig, options: ProbeOptions): Promise<ProbeResult> {
  if (handler.kind === 'vm') return probeShim(handler, options);
  const no = (reason: string): ProbeResult => ({ ready: false, reason, ...nothingProbed });
  if (handler.missing !== undefined) return no(handler.missing);
  try {
    await access(handler.path, constants.X_OK);
  } catch (error) {
    return no(`${handler.path} can't be run: ${codeOf(error) ?? 'unknown error'}`);
  }
  try {
    const version = await ask(handler, options, '--version');
    if (version.exitCode !== 0) return no(`${handler.path} --version: ${version.problem}`);
    const isRefused = version.text.startsWith('crun ') && (await hybridControllers()) !== '';
    const standIn = isRefused ? { standIn: await standInFor(handler, options) } : {};
    const features = await ask(handler, options, 'features');
    const help = await ask(handler, options, 'exec', '--help');
    // the words of runc's help; crun has an option of that name with another meaning
    const execCgroup = help.text.includes('--cgroup') && help.text.includes('[<controller>:]<cgroup>');
    return {
      ready: true,
      reason: '',
      ...parseFeatures(features.exitCode === 0 ? features.text : ''),
      execCgroup,
      ...standIn,
      flaws: knownFlaws(version.text),
    };
  } catch (error) {
    return no(toFault(error).message);
  }
}

/** crun refuses mixed cgroups and works where it does not see version 2. Throws why that can't be had. */
async function standInFor(handler: HandlerConfig, options: ProbeOptions): Promise<string> {
  const path = await writeStandIn(options.standInDir, handler.name, handler.path);
  const answer = await ask({ ...handler, path }, options, '--version');
  if (answer.exitCode !== 0)
    fail(
      'outside',
      `crun refuses this machine's mixed cgroups, and ${path} can't hide version 2: ${answer.problem}`,
    );
  return path;
}

async function ask(
  handler: HandlerConfig,
  options: ProbeOptions,
  ...words: string[]
): Promise<{ exitCode: number; text: string; problem: string }> {
  const result = await runTool({
    argv: [handler.path, ...words],
    env: { PATH: options.toolPath },
    timeoutMs: driverLimits.probeMs,
    clock: options.clock,
  });
  if (result.timedOut)
    fail('timedOut', `probe ${handler.path} ${words.join(' ')}: no end within ${driverLimits.probeMs} ms`);
  const said = printable(Buffer.from(result.stderr).toString('utf8').slice(0, monitorLimits.quotedChars));
  const exitCode = result.exitCode ?? -1;
  return {
    exitCode,
    text: Buffer.from(result.stdout).toString('utf8'),
    problem: `exit code ${exitCode}: ${said}`,
  };
}

/**
 * What `features` tells (OCI runtime spec, features.md); an old runtime without that verb, or one that prints
 * something else, can do neither.
 */
export function parseFeatures(text: string): Pick<ProbeResult, 'recursiveReadOnlyMounts' | 'userNamespaces'> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { recursiveReadOnlyMounts: false, userNamespaces: false };
  }
  const options = member(value, 'mountOptions');
  const idmap = member(member(member(member(value, 'linux'), 'mountExtensions'), 'idmap'), 'enabled');
  return {
    recursiveReadOnlyMounts: Array.isArray(options) && options.includes('rro'),
    userNamespaces: idmap === true,
  };
}

function member(value: unknown, key: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  return Object.getOwnPropertyDescriptor(value, key)?.value;
}
