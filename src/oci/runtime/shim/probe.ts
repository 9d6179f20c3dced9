/** Checks whether a shim's program can be run on this machine. */
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import type { ClockPort } from '../../../ports/clock.ts';
import { printable, toFault } from '../../../base/fault.ts';
import { driverLimits, monitorLimits } from '../bounds.ts';
import { codeOf } from '../../../host/ffi/errno.ts';
import { runTool } from '../../../host/process/process-tool.ts';
import { nothingProbed } from '../handlers/handlers.ts';
import type { HandlerConfig, ProbeResult } from '../handlers/handlers.ts';

/**
 * Never rejects: a failure is in the reason. No feature is reported: shims before containerd 2.0 cannot be asked for
 * their runtime's features, and mounts and user namespaces depend on the guest's kernel.
 */
export async function probeShim(
  { path, configPath, missing }: HandlerConfig,
  { clock, toolPath }: { readonly clock: ClockPort; readonly toolPath: string },
): Promise<ProbeResult> {
  const no = (reason: string): ProbeResult => ({ ready: false, reason, ...nothingProbed });
  if (missing !== undefined) return no(missing);
  try {
    await access(path, constants.X_OK);
    if (configPath !== undefined) await access(configPath, constants.R_OK);
  } catch (error) {
    return no(
      `${path}${configPath === undefined ? '' : ` with ${configPath}`} is not usable: ${codeOf(error) ?? 'unknown error'}`,
    );
  }
  try {
    const { exitCode, stderr, timedOut } = await runTool({
      argv: [path, '-v'],
      env: { PATH: toolPath },
      timeoutMs: driverLimits.probeMs,
      clock,
    });
    if (timedOut) return no(`${path} -v: timed out after ${driverLimits.probeMs} ms`);
    const said = printable(Buffer.from(stderr).toString('utf8').slice(0, monitorLimits.quotedChars));
    return exitCode === 0
      ? { ready: true, reason: '', ...nothingProbed }
      : no(`${path} -v: exit code ${exitCode ?? -1}: ${said}`);
  } catch (error) {
    return no(toFault(error).message);
  }
}
