/** Checks whether a handler's program works on this machine, and which features it has. */
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
import { filteringLauncher } from './handlers/filtering.ts';
import { hasLibseccomp, parseFeatures } from './handlers/features.ts';
import { versionLine } from './handlers/known-flaws.ts';
import { hasKnownState } from './container/shortcuts.ts';
import { OLDEST_LIBSECCOMP } from './spec/seccomp-denied.ts';

export interface ProbeOptions {
  readonly clock: ClockPort;
  /** PATH of the runtime. */
  readonly toolPath: string;
  /** Where stand-ins are written: must allow executables (/run is often mounted noexec). */
  readonly standInDir: string;
  /**
   * Of `loadedFiles`. Where they cannot be known, it cannot be noticed when another libseccomp takes the place of the
   * program's.
   */
  readonly libraries: Promise<readonly string[] | undefined>;
}

/** Checks whether the handler's program works, and its features. Never rejects: a failure is in the reason. */
export async function probeHandler(handler: HandlerConfig, options: ProbeOptions): Promise<ProbeResult> {
  if (handler.kind === 'vm') return probeShim(handler, options);
  const no = (reason: string): ProbeResult => ({ ready: false, reason, ...nothingProbed });
  if (handler.missing !== undefined) return no(handler.missing);
  try {
    await access(handler.path, constants.X_OK);
  } catch (error) {
    return no(`${handler.path} is not executable: ${codeOf(error) ?? 'unknown error'}`);
  }
  try {
    const version = await ask(handler, options, '--version');
    if (version.exitCode !== 0) return no(`${handler.path} --version: ${version.problem}`);
    const isRefused = version.text.startsWith('crun ') && (await hybridControllers()) !== '';
    const standIn = isRefused ? { standIn: await standInFor(handler, options) } : {};
    const features = await ask(handler, options, 'features');
    const help = await ask(handler, options, 'exec', '--help');
    // text of runc's help; crun has an option of the same name with another meaning
    const execCgroup = help.text.includes('--cgroup') && help.text.includes('[<controller>:]<cgroup>');
    return {
      ready: true,
      reason: '',
      version: printable(versionLine(version.text)),
      ...parseFeatures(features.exitCode === 0 ? features.text : ''),
      execCgroup,
      // gVisor's; its shim has one sandbox for a pod
      ownSandbox: version.text.startsWith('runsc '),
      knownState: await hasKnownState(handler.path, version.text),
      ...(await shortForm(handler, options, version, features)),
      ...standIn,
    };
  } catch (error) {
    return no(toFault(error).message);
  }
}

/** crun refuses mixed cgroups, but works if it does not see v2. Throws the reason why v2 cannot be hidden. */
async function standInFor(handler: HandlerConfig, options: ProbeOptions): Promise<string> {
  const path = await writeStandIn(options.standInDir, handler.name, handler.path);
  const answer = await ask({ ...handler, path }, options, '--version');
  if (answer.exitCode !== 0)
    fail(
      'outside',
      `crun does not support mixed cgroups, and ${path} cannot hide cgroup v2: ${answer.problem}`,
    );
  return path;
}

type ShortForm = Pick<ProbeResult, 'shortSeccomp' | 'whyNotShort' | 'isShortUnsure'>;

const cannot = (whyNotShort: string): ShortForm => ({ shortSeccomp: false, whyNotShort });
const unsure = (why: string): ShortForm => ({ ...cannot(why), isShortUnsure: true });

/** Whether containers may have the short form of RuntimeDefault. Never rejects. */
async function shortForm(
  handler: HandlerConfig,
  options: ProbeOptions,
  version: Answer,
  features: Answer,
): Promise<ShortForm> {
  const isRunc = version.isCut || version.text.startsWith('runc version ');
  if (process.arch !== 'x64' || !isRunc) return { shortSeccomp: false };
  if (version.isCut || features.isCut) return unsure(`the output of ${handler.path} was cut`);
  try {
    // first, since without these files no result holds for another library in their place
    const libraries = await options.libraries;
    // runc before 1.1 does not have the verb
    if (features.exitCode !== 0 && !features.problem.includes("No help topic for 'features'"))
      return unsure(`${handler.path} features: ${features.problem}`);
    if (!hasLibseccomp(features.text, OLDEST_LIBSECCOMP))
      return cannot(`it does not report libseccomp ${OLDEST_LIBSECCOMP.join('.')} or later`);
    if (libraries === undefined)
      return cannot('its libraries are not known: it is a script, or of another libc than glibc');
    // where the launcher cannot be, nothing can be confined by it
    const path = await filteringLauncher(options.standInDir, handler.path);
    const answer = await ask({ ...handler, path }, options, '--version');
    return answer.exitCode === 0 ? { shortSeccomp: true } : unsure(`${path} --version: ${answer.problem}`);
  } catch (error) {
    return unsure(toFault(error).message);
  }
}

interface Answer {
  readonly exitCode: number;
  readonly text: string;
  /** It was not read to its end. */
  readonly isCut: boolean;
  /** The exit code and what was said. */
  readonly problem: string;
}

async function ask(handler: HandlerConfig, options: ProbeOptions, ...words: string[]): Promise<Answer> {
  const result = await runTool({
    argv: [handler.path, ...words],
    env: { PATH: options.toolPath },
    timeoutMs: driverLimits.probeMs,
    clock: options.clock,
  });
  if (result.timedOut)
    fail('timedOut', `probe ${handler.path} ${words.join(' ')}: timed out after ${driverLimits.probeMs} ms`);
  const said = printable(Buffer.from(result.stderr).toString('utf8').slice(0, monitorLimits.quotedChars));
  const exitCode = result.exitCode ?? -1;
  return {
    exitCode,
    text: Buffer.from(result.stdout).toString('utf8'),
    isCut: result.truncated,
    problem: `exit code ${exitCode}: ${said}`,
  };
}
