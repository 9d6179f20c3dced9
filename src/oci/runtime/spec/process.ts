/** The `process` of the document: arguments, user, environment, limits. */
import { posix } from 'node:path';
import type { ContainerSpec, ImageConfig, Program } from '../../../ports/specs.ts';
import { fail } from '../../../base/fault.ts';
import { specLimits } from '../bounds.ts';
import type { SpecHandler, SpecHost, SpecInput } from './input.ts';
import type { OciCapabilities, OciProcess } from './types.ts';

/** As in login(1), containerd and CRI-O. */
const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
/**
 * systemd's recommendation (File Descriptor Limits): programs that use select(2) fail above it, and those that need
 * more raise it.
 */
const OPEN_FILES_SOFT = 1024;
const OPEN_FILES = 'RLIMIT_NOFILE';
/** The kernel's range (proc(5), oom_score_adj). */
const OOM_SCORE_ADJ_MAX = 1000;

/** The process. Throws `invalidRequest` with the field's name. */
export function processOf(input: SpecInput, capabilities: OciCapabilities): OciProcess {
  const { spec, host, user } = input;
  const apparmor = spec.security.privileged ? '' : spec.security.apparmorProfile;
  return {
    terminal: spec.tty,
    user: { uid: user.uid, gid: user.gid, additionalGids: user.additionalGids },
    args: processArgs(spec, input.image),
    env: processEnv(input),
    cwd: workingDirectory(spec, input.image),
    capabilities,
    rlimits: [...openFilesLimit(host), ...(host.rlimits ?? []).filter(({ type }) => type !== OPEN_FILES)],
    // left out where false, as Go's runtimes write it: youki takes the field's presence for true
    ...(spec.security.noNewPrivs ? { noNewPrivileges: true } : {}),
    oomScoreAdj: clampOomScoreAdj(spec.resources.oomScoreAdj, host),
    ...(apparmor === '' ? {} : { apparmorProfile: apparmor }),
    ...(spec.selinuxLabels === undefined ? {} : { selinuxLabel: spec.selinuxLabels.process }),
  };
}

/**
 * The CRI's rule (ContainerConfig.command and args): a command replaces the image's ENTRYPOINT and discards its CMD;
 * args alone replace CMD. Throws `invalidRequest` for an empty command line.
 */
export function processArgs(spec: ContainerSpec, image: ImageConfig): readonly string[] {
  const { command, args: following } = programOf(spec);
  const entry = command.length > 0 ? command : image.entrypoint;
  const rest = following.length > 0 || command.length > 0 ? following : image.cmd;
  const args = [...entry, ...rest];
  if (args.length === 0) {
    fail('invalidRequest', 'find the command to run: neither the request nor the image names one', {
      subject: 'command',
    });
  }
  if (args[0] === '')
    fail('invalidRequest', 'find the command to run: the first word is empty', { subject: 'command' });
  if (args.some((arg) => arg.includes('\0'))) {
    fail('invalidRequest', 'use the command: an argument contains a NUL byte', {
      subject: 'command',
    });
  }
  return args;
}

/** The program of a request. A spec from the journal has no program, and no bundle is written for it (S91). */
function programOf({ command, args, env }: ContainerSpec): Program {
  if (command === undefined || args === undefined || env === undefined)
    return fail('bug', 'write the bundle: the spec has no program');
  return { command, args, env };
}

/** Our defaults, overridden by the image's variables, overridden by the request's. */
function processEnv(input: SpecInput): readonly string[] {
  const { spec, image } = input;
  const env = new Map<string, string>([
    ['PATH', DEFAULT_PATH],
    ['HOSTNAME', hostnameOf(input)],
  ]);
  if (spec.tty) env.set('TERM', 'xterm');
  env.set('HOME', input.user.home);
  for (const entry of image.env) {
    const at = entry.indexOf('=');
    if (at < 0)
      fail('invalidRequest', `use the image's variable ${entry}: no = in it`, { subject: 'image env' });
    setVariable(env, entry.slice(0, at), entry.slice(at + 1), 'image env');
  }
  for (const { name, value } of programOf(spec).env) setVariable(env, name, value, 'envs');
  return [...env].map(([name, value]) => `${name}=${value}`);
}

function setVariable(env: Map<string, string>, name: string, value: string, field: string): void {
  if (name === '' || name.includes('=') || name.includes('\0')) {
    fail(
      'invalidRequest',
      `set variable ${JSON.stringify(name)}: a name must not be empty nor contain = or NUL`,
      { subject: field },
    );
  }
  if (value.includes('\0'))
    fail('invalidRequest', `set variable ${name}: the value contains a NUL byte`, { subject: field });
  // HOME becomes a field of passwd lines, here or in the container (CVE-2022-4318, CVE-2026-15809)
  if (name === 'HOME' && !isPlainHome(value)) {
    fail('invalidRequest', 'set variable HOME: line breaks and colons are not allowed in its value', {
      subject: field,
    });
  }
  env.set(name, value);
}

/** Whether a text can be the home field of a passwd line. */
export function isPlainHome(home: string): boolean {
  return !/[\n\r:\0]/u.test(home);
}

/** The hostname that the pod's processes see. */
function hostnameOf({
  sandbox,
  sandboxId,
  host,
}: Pick<SpecInput, 'sandbox' | 'sandboxId'> & { readonly host: Pick<SpecHost, 'hostname'> }): string {
  if (sandbox.hostname !== '') return sandbox.hostname;
  return sandbox.namespaces.network === 'node' ? host.hostname : sandboxId.slice(0, 12);
}

/**
 * The hostname for config.json: only for a runtime with a kernel of its own, which does not see the name in the pod's
 * UTS namespace, and not on the host's network, where there is no such namespace.
 */
export function guestHostname(
  handler: Pick<SpecHandler, 'ownKernel'> | undefined,
  pod: Parameters<typeof hostnameOf>[0],
): { readonly hostname?: string } {
  const isGuest = handler?.ownKernel === true && pod.sandbox.namespaces.network !== 'node';
  return isGuest ? { hostname: hostnameOf(pod) } : {};
}

/**
 * The request's directory, else the image's, else `/`. A relative one of an image counts from the root, as in Docker.
 * A path below a process's descriptors is refused: through a leaked descriptor the container would start on the host
 * (CVE-2024-21626).
 */
export function workingDirectory(spec: ContainerSpec, image: ImageConfig): string {
  const asked = spec.workingDir;
  if (asked !== '' && !posix.isAbsolute(asked)) {
    fail('invalidRequest', `use working_dir ${asked}: not an absolute path`, { subject: 'working_dir' });
  }
  const cwd = posix.join('/', asked === '' ? image.workingDir : asked);
  if (cwd.includes('\0') || Buffer.byteLength(cwd) > specLimits.pathBytes) {
    fail('invalidRequest', 'use working_dir: contains a NUL byte or is too long', { subject: 'working_dir' });
  }
  if (
    /^\/proc\/[^/]+\/(?:task\/[^/]+\/)?(?:fd|cwd|root)(?:\/|$)/u.test(cwd) ||
    /^\/dev\/fd(?:\/|$)/u.test(cwd)
  ) {
    fail('invalidRequest', `use working_dir ${cwd}: descriptors of a process are not allowed`, {
      subject: 'working_dir',
    });
  }
  return cwd.length > 1 && cwd.endsWith('/') ? cwd.slice(0, -1) : cwd;
}

/** Always set: Node raises its own soft limit to the hard one, which children would inherit. */
export function openFilesLimit(host: SpecHost): OciProcess['rlimits'] {
  const configured = host.rlimits?.find(({ type }) => type === OPEN_FILES);
  if (configured !== undefined) return [configured];
  return [
    { type: OPEN_FILES, soft: Math.min(OPEN_FILES_SOFT, host.openFilesHard), hard: host.openFilesHard },
  ];
}

/** The value that can be set: in the kernel's range, and without CAP_SYS_RESOURCE not below the daemon's own. */
export function clampOomScoreAdj(asked: number, host: SpecHost): number {
  const inRange = Math.max(-OOM_SCORE_ADJ_MAX, Math.min(OOM_SCORE_ADJ_MAX, asked));
  return host.oomScoreAdjCanSink ? inRange : Math.max(inRange, host.oomScoreAdj);
}
