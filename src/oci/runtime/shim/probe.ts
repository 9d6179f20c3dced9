/** Looks whether a shim's program can be run here. */
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
 * Never rejects: a failure is the reason. What the runtime behind the shim can do is not told by shims before containerd
 * 2.0 and not asked: a guest's kernel mounts and maps, so neither feature is promised.
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
      `${path}${configPath === undefined ? '' : ` with ${configPath}`} can't be used: ${codeOf(error) ?? 'unknown error'}`,
    );
  }
  try {
    const { exitCode, stderr, timedOut } = await runTool({
      argv: [path, '-v'],
      env: { PATH: toolPath },
      timeoutMs: driverLimits.probeMs,
      clock,
    });
    if (timedOut) return no(`${path} -v: no end within ${driverLimits.probeMs} ms`);
    const said = printable(Buffer.from(stderr).toString('utf8').slice(0, monitorLimits.quotedChars));
    return exitCode === 0
      ? { ready: true, reason: '', ...nothingProbed }
      : no(`${path} -v: exit code ${exitCode ?? -1}: ${said}`);
  } catch (error) {
    return no(toFault(error).message);
  }
}
