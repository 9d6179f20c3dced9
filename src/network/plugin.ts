/**
 * Runs one CNI plugin once (spec 1.1.0, sections 2 and 3): the request goes to stdin and the environment, the
 * answer comes from stdout. No policy, no retry.
 */
import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { FaultKind } from '../base/fault.ts';
import { fail, FaultError, printable, toFault } from '../base/fault.ts';
import { codeOf, isAbsent } from '../host/ffi/errno.ts';
import { networkLimits } from './bounds.ts';
import type { CniVersion, PluginConf } from './conflist.ts';
import type { CniJson, CniJsonObject } from './json.ts';
import { asArray, asString, member, parseObject } from './json.ts';

/**
 * The part of a tool run that CNI needs; implemented by `runTool` of src/host/process/process-tool.ts with a
 * clock.
 */
export interface NetworkToolCall {
  /** argv[0] is an absolute path. */
  readonly argv: readonly string[];
  /** The child's whole environment: it inherits nothing of the daemon's (S64). */
  readonly env: Readonly<Record<string, string>>;
  readonly stdin: Uint8Array;
  readonly timeoutMs: number;
  /** Bytes that are kept of stdout and of stderr each. */
  readonly outputBytesMax: number;
  readonly signal?: AbortSignal;
  /** Receives the child's pid. */
  readonly onSpawn?: (pid: number) => void;
}

export interface NetworkToolResult {
  /** Null when a signal ended the child. */
  readonly exitCode: number | null;
  readonly stdout: Uint8Array;
  readonly stderr: Uint8Array;
  /** Output was dropped: it exceeded the cap, or a grandchild kept the pipe open. */
  readonly truncated: boolean;
  readonly timedOut: boolean;
  readonly durationMs: number;
}

/**
 * Runs a program to its end. At the deadline or an abort its whole process tree is killed; an abort also
 * rejects.
 */
export type RunTool = (call: NetworkToolCall) => Promise<NetworkToolResult>;

export type CniCommand = 'ADD' | 'DEL' | 'GC' | 'STATUS' | 'VERSION';

/** Identifies the attachment of a call; absent for GC, STATUS and VERSION. */
export interface AttachmentEnv {
  readonly containerId: string;
  /** Empty when the namespace is gone (DEL only). */
  readonly netnsPath: string;
  readonly ifName: string;
  readonly cniArgs: string;
}

export interface PluginCall {
  readonly command: CniCommand;
  readonly type: string;
  /** Absolute directories in search order. */
  readonly pluginDirs: readonly string[];
  readonly attachment?: AttachmentEnv;
  readonly stdin: CniJsonObject;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  /** Receives the plugin's argv and pid once it runs. */
  readonly onSpawn?: (argv: readonly string[], pid: number) => void;
  /** Receives how long it ran, however it ended. */
  readonly onEnd?: (durationMs: number) => void;
  /** Beginning of error messages: `CNI ADD of sandbox <id> to network <name>`. */
  readonly attempted: string;
  readonly subject: string;
}

/**
 * Directories in which plugins and troupe find iptables, ip and similar tools: a fixed list, not the daemon's
 * PATH.
 */
export const TOOL_DIRS = [
  '/usr/local/sbin',
  '/usr/local/bin',
  '/usr/sbin',
  '/usr/bin',
  '/sbin',
  '/bin',
] as const;

/**
 * Where executables were found last, by directories and name. A search costs three calls in the thread pool for each
 * run of a plugin; the network's scan forgets all every 5 s, so that a new file in an earlier directory counts.
 */
const found = new Map<string, string>();

/** Each executable is searched in the directories again when it is next needed. */
export function forgetExecutables(): void {
  found.clear();
}

/**
 * Runs the executable `name` of `dirs`: the one that was found last, and one that is searched anew where that is not
 * there any more. `absent` where none has it.
 */
async function withExecutable<T>(
  name: string,
  dirs: readonly string[],
  run: (path: string) => Promise<T>,
): Promise<T | 'absent'> {
  const key = keyOf(name, dirs);
  const known = found.get(key);
  if (known !== undefined) {
    try {
      return await run(known);
    } catch (error) {
      // EACCES: another file has its place, or its mode was changed
      if (!isAbsent(error) && codeOf(error) !== 'EACCES') throw error;
    }
  }
  found.delete(key);
  const path = await knownExecutable(name, dirs);
  return path === undefined ? 'absent' : run(path);
}

/** The path that was found last, or that is found now; undefined when none has it. */
export async function knownExecutable(name: string, dirs: readonly string[]): Promise<string | undefined> {
  const key = keyOf(name, dirs);
  const known = found.get(key);
  if (known !== undefined) return known;
  const path = await findExecutable(name, dirs);
  if (path === undefined) return undefined;
  if (found.size >= networkLimits.executables) found.clear();
  found.set(key, path);
  return path;
}

const keyOf = (name: string, dirs: readonly string[]): string => [name, ...dirs].join('\0');

/** Path of the first executable regular file `name` in `dirs`; undefined when none has it. */
export async function findExecutable(name: string, dirs: readonly string[]): Promise<string | undefined> {
  for (const dir of dirs.slice(0, networkLimits.pluginDirs)) {
    const path = join(dir, name);
    try {
      if (!(await stat(path)).isFile()) continue;
      await access(path, constants.X_OK);
      return path;
    } catch {
      // absent, no permission, or a broken link: another directory may have it
    }
  }
  return undefined;
}

/**
 * Runs the plugin and returns its stdout. Throws `outside` when the plugin is missing, answers with an error
 * (code 11 makes it retryable) or writes too much; `exhausted` when it reports that its address pool is used
 * up (F58); `timedOut`; `cancelled`.
 */
export async function runPlugin(runTool: RunTool, call: PluginCall): Promise<{ stdout: string }> {
  const what = `${call.attempted}: plugin ${call.type}`;
  const options = { subject: call.subject };
  const { onSpawn } = call;
  const result = await named(what, () =>
    withExecutable(call.type, call.pluginDirs, (path) => {
      const argv = [path];
      return runTool({
        argv,
        env: environment(call),
        stdin: Buffer.from(JSON.stringify(call.stdin)),
        timeoutMs: call.timeoutMs,
        outputBytesMax: networkLimits.pluginOutputBytes,
        ...(call.signal === undefined ? {} : { signal: call.signal }),
        ...(onSpawn === undefined ? {} : { onSpawn: (pid: number) => onSpawn(argv, pid) }),
      });
    }),
  );
  if (result === 'absent')
    return fail('outside', `${what}: executable not found in ${call.pluginDirs.join(', ')}`, options);
  call.onEnd?.(result.durationMs);
  if (result.timedOut)
    fail('timedOut', `${what}: timed out after ${call.timeoutMs} ms and was killed`, options);
  if (result.truncated && result.stdout.length >= networkLimits.pluginOutputBytes) {
    fail('outside', `${what}: more than ${networkLimits.pluginOutputBytes} bytes of output`, options);
  }
  const stdout = decode(result.stdout);
  if (result.exitCode === 0) return { stdout };
  const error = pluginError(stdout, decode(result.stderr), result.exitCode);
  const retryable = error.code === CODE_TRY_LATER || error.kind === 'exhausted';
  return fail(error.kind, `${what}: ${error.text}`, { ...options, retryable });
}

/** Runs a tool; what it throws begins with `what`. */
export async function runNamed(
  runTool: RunTool,
  what: string,
  call: NetworkToolCall,
): Promise<NetworkToolResult> {
  return named(what, () => runTool(call));
}

async function named<T>(what: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw new FaultError(toFault(error, what));
  }
}

/** Spec section 5, well-known error codes: try again later. */
const CODE_TRY_LATER = 11;

function environment(call: PluginCall): Record<string, string> {
  const attachment = call.attachment;
  return {
    // chained plugins call iptables, ip and sysctl by name
    PATH: TOOL_DIRS.join(':'),
    CNI_COMMAND: call.command,
    CNI_PATH: call.pluginDirs.slice(0, networkLimits.pluginDirs).join(':'),
    // empty without an attachment, as libcni sets them: plugins that pass their environment to a daemon (Multus) take
    // an absent one for an error
    CNI_CONTAINERID: attachment?.containerId ?? '',
    CNI_NETNS: attachment?.netnsPath ?? '',
    CNI_IFNAME: attachment?.ifName ?? '',
    CNI_ARGS: attachment?.cniArgs ?? '',
  };
}

/**
 * The spec reserves no code for an exhausted pool; these are the texts of host-local, whereabouts and the
 * cloud vendors' plugins.
 */
const POOL_USED_UP =
  /no (?:more )?(?:free )?ip addresses|no available ip|address(?:es)? (?:pool )?exhausted/iu;

interface PluginError {
  readonly kind: FaultKind;
  readonly code: number;
  readonly text: string;
}

function pluginError(stdout: string, stderr: string, exitCode: number | null): PluginError {
  const object = parseObject(stdout);
  const message = object === undefined ? undefined : asString(member(object, 'msg'));
  if (object === undefined || message === undefined) {
    const said = quote(stderr === '' ? stdout : stderr);
    const ended = exitCode === null ? 'ended by a signal' : `exit code ${exitCode}`;
    return { kind: 'outside', code: 0, text: `${ended}: ${said === '' ? 'no output' : said}` };
  }
  const code = member(object, 'code');
  const details = asString(member(object, 'details')) ?? '';
  const text = quote(details === '' ? message : `${message}; ${details}`);
  return {
    kind: POOL_USED_UP.test(text) ? 'exhausted' : 'outside',
    code: typeof code === 'number' ? code : 0,
    text: `error ${typeof code === 'number' ? code : 'without a code'}: ${text}`,
  };
}

/**
 * What a plugin gets on stdin for an attachment: its own configuration with name, version, the values of the
 * capabilities that it declares, and the result so far. The spec reserves `prevResult` and `runtimeConfig`,
 * and requires that `capabilities` is removed.
 */
export function pluginRequest(
  network: { readonly name: string; readonly cniVersion: CniVersion },
  plugin: PluginConf,
  runtimeConfig: CniJsonObject = {},
  prevResult?: CniJsonObject,
): CniJsonObject {
  const {
    capabilities: _capabilities,
    prevResult: _prevResult,
    runtimeConfig: _runtimeConfig,
    ...own
  } = plugin.raw;
  const granted = Object.entries(runtimeConfig).filter(([key]) => plugin.capabilities.includes(key));
  return {
    ...own,
    cniVersion: network.cniVersion,
    name: network.name,
    ...(granted.length === 0 ? {} : { runtimeConfig: Object.fromEntries(granted) }),
    ...(prevResult === undefined ? {} : { prevResult }),
  };
}

/**
 * CNI_ARGS as Kubernetes' plugins parse it. A value with `;`, `=` or a control character could add further
 * arguments, such as the pod's address (S66): it is refused as `invalidRequest`.
 */
export function cniArgs(pod: {
  podNamespace: string;
  podName: string;
  podUid: string;
  sandboxId: string;
}): string {
  const pairs = [
    ['K8S_POD_NAMESPACE', pod.podNamespace, 'metadata.namespace'],
    ['K8S_POD_NAME', pod.podName, 'metadata.name'],
    ['K8S_POD_INFRA_CONTAINER_ID', pod.sandboxId, 'sandbox id'],
    ['K8S_POD_UID', pod.podUid, 'metadata.uid'],
  ] as const;
  for (const [, value, field] of pairs) {
    if (/[;=\p{Cc}\p{Zl}\p{Zp}]/u.test(value)) {
      const what = `network of pod ${pod.podNamespace}/${pod.podName}`;
      fail('invalidRequest', `${what}: ${field} holds ";", "=" or a control character`, {
        subject: pod.sandboxId,
      });
    }
  }
  return ['IgnoreUnknown=1', ...pairs.map(([key, value]) => `${key}=${value}`)].join(';');
}

/** The versions in the answer to VERSION; undefined when the answer has none. */
export function supportedVersions(stdout: string): readonly string[] | undefined {
  const object = parseObject(stdout);
  const versions = object === undefined ? undefined : asArray(member(object, 'supportedVersions'));
  return versions?.filter((value: CniJson): value is string => typeof value === 'string');
}

/** Text of another program, shortened for a message. */
export function quote(text: string): string {
  return printable(text.slice(0, networkLimits.quotedChars));
}

/** Output of a tool as text; invalid UTF-8 becomes the replacement character. */
export function decode(output: Uint8Array): string {
  return new TextDecoder().decode(output);
}
