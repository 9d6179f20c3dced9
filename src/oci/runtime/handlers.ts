/** The runtime handlers of this machine: which are configured, and what a probe found each able to do. */
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import type { ClockPort } from '../../actors/ports/clock.ts';
import type { HandlerStatus } from '../../actors/ports/runtime.ts';
import { fail, printable, toFault } from '../../base/fault.ts';
import { monitorLimits, driverLimits } from '../../base/limits.ts';
import { codeOf } from '../../host/errno.ts';
import { runTool } from '../../host/process-tool.ts';
import { hybridControllers, writeStandIn } from './hide-unified.ts';

export interface HandlerConfig {
  /** As in a RuntimeClass: letters, digits, `.`, `_`, `-`. */
  readonly name: string;
  /** Absolute path of the runtime. */
  readonly path: string;
  /** `oci`: a program with runc's command line. */
  readonly kind: 'oci';
}

/** Pause containers have a state directory of their own, so that recovery can tell a sandbox's id from a container's. */
export const PAUSE_SUFFIX = '.pause';

/** A handler that a call can use. */
export interface Handler extends HandlerConfig {
  /** State directory, given to the runtime as --root. */
  readonly root: string;
}

/** What a probe of one binary found. */
export interface ProbeResult {
  readonly ready: boolean;
  readonly reason: string;
  readonly recursiveReadOnlyMounts: boolean;
  readonly userNamespaces: boolean;
  /** `exec` takes runc's --cgroup=controller:path. */
  readonly execCgroup: boolean;
  /** A program that is to be called in the runtime's place; undefined for none. */
  readonly standIn?: string;
}

const nothing = { recursiveReadOnlyMounts: false, userNamespaces: false, execCgroup: false };
const notProbed: ProbeResult = { ready: false, reason: 'not probed yet', ...nothing };

/** The configured handlers by name, with what their last probe found. */
export class HandlerTable {
  readonly #handlers: readonly Handler[];
  readonly #defaultName: string;
  readonly #results = new Map<string, ProbeResult>();

  constructor(configs: readonly HandlerConfig[], defaultName: string, rootOf: (name: string) => string) {
    for (const { name } of configs) {
      if (name === '' || name.endsWith(PAUSE_SUFFIX)) {
        fail('invalidRequest', `use runtime handler ${JSON.stringify(name)}: not a name for one`, { subject: name });
      }
    }
    this.#handlers = configs.map((config) => ({ ...config, root: rootOf(config.name) }));
    this.#defaultName = defaultName;
    if (!this.#handlers.some((handler) => handler.name === defaultName)) {
      fail('invalidRequest', `use runtime handler ${defaultName} as the default: it is not configured`, { subject: defaultName });
    }
  }

  /** The handler of that name, empty for the default one. Throws `notFound`. */
  resolve(name: string): Handler {
    const wanted = name === '' ? this.#defaultName : name;
    const found = this.#handlers.find((handler) => handler.name === wanted);
    if (found === undefined) return fail('notFound', `use runtime handler ${wanted}: it is not configured`, { subject: wanted });
    return { ...found, path: this.#results.get(found.name)?.standIn ?? found.path };
  }

  all(): readonly Handler[] {
    return this.#handlers;
  }

  /** Whether an exec can have a cgroup of its own; false until probed. */
  canExecInCgroup(name: string): boolean {
    return this.#results.get(name)?.execCgroup ?? false;
  }

  set(name: string, result: ProbeResult): void {
    this.#results.set(name, result);
  }

  /** As the port lists them: the default one first under the empty name, then each under its own. */
  statuses(): readonly HandlerStatus[] {
    const own = this.#handlers.map(({ name }): HandlerStatus => {
      const { execCgroup: _exec, standIn: _standIn, ...told } = this.#results.get(name) ?? notProbed;
      return { name, ...told };
    });
    const standard = own.find((status) => status.name === this.#defaultName);
    return standard === undefined ? own : [{ ...standard, name: '' }, ...own];
  }
}

export interface ProbeOptions {
  readonly clock: ClockPort;
  /** PATH of the runtime. */
  readonly toolPath: string;
  /** Where stand-ins are written; must allow programs to be run (/run often does not). */
  readonly standInDir: string;
}

/** Looks whether the handler's binary works here and what it can. Never rejects: a failure is the reason. */
export async function probeHandler(handler: HandlerConfig, options: ProbeOptions): Promise<ProbeResult> {
  const no = (reason: string): ProbeResult => ({ ready: false, reason, ...nothing });
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
    return { ready: true, reason: '', ...parseFeatures(features.exitCode === 0 ? features.text : ''), execCgroup, ...standIn };
  } catch (error) {
    return no(toFault(error).message);
  }
}

/** crun refuses mixed cgroups and works where it does not see version 2. Throws why that can't be had. */
async function standInFor(handler: HandlerConfig, options: ProbeOptions): Promise<string> {
  const path = await writeStandIn(options.standInDir, handler.name, handler.path);
  const answer = await ask({ ...handler, path }, options, '--version');
  if (answer.exitCode !== 0) fail('outside', `crun refuses this machine's mixed cgroups, and ${path} can't hide version 2: ${answer.problem}`);
  return path;
}

async function ask(handler: HandlerConfig, options: ProbeOptions, ...words: string[]): Promise<{ exitCode: number; text: string; problem: string }> {
  const result = await runTool({
    argv: [handler.path, ...words],
    env: { PATH: options.toolPath },
    timeoutMs: driverLimits.probeMs,
    clock: options.clock,
  });
  if (result.timedOut) fail('timedOut', `probe ${handler.path} ${words.join(' ')}: no end within ${driverLimits.probeMs} ms`);
  const said = printable(Buffer.from(result.stderr).toString('utf8').slice(0, monitorLimits.quotedChars));
  const exitCode = result.exitCode ?? -1;
  return { exitCode, text: Buffer.from(result.stdout).toString('utf8'), problem: `exit code ${exitCode}: ${said}` };
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
