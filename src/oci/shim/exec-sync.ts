/** ExecSync in a shim: output kept to a bound, as everywhere. */
import type { EffectContext } from '../../actors/ports/effect.ts';
import type { ExecResult } from '../../actors/ports/runtime.ts';
import { driverLimits } from '../../base/limits.ts';
import { within } from '../../host/wait.ts';
import type { ExecInput } from '../runtime/exec.ts';
import { CappedOutput } from '../runtime/exec-output.ts';
import type { ShimParts } from './containers.ts';
import { runExec } from './exec.ts';
import { readFifo } from './fifo.ts';

/** As `RuntimePort.execSync`. */
export async function execSyncTask(shim: ShimParts, input: ExecInput, fx: EffectContext): Promise<ExecResult> {
  const { clock } = shim.parts;
  const outputs: CappedOutput[] = [];
  const exitCode = await runExec(
    shim,
    {
      input,
      terminal: {},
      wish: { stdin: false, stdout: true, stderr: true },
      limitMs: input.execTimeoutMs > 0 ? Math.min(input.execTimeoutMs, fx.timeoutMs) : fx.timeoutMs,
      open: ({ stdout, stderr }) => {
        for (const path of [stdout, stderr]) outputs.push(new CappedOutput(readFifo(path), driverLimits.execOutputBytes));
      },
      // background children may hold the pipes for ever: what they write from here on is nobody's
      drained: () => within({ clock, timeoutMs: driverLimits.execDrainMs }, Promise.all(outputs.map((output) => output.ended))),
      close: () => {
        for (const output of outputs) output.close();
      },
    },
    fx,
  );
  const [stdout, stderr] = outputs;
  return { exitCode, stdout: stdout?.bytes() ?? new Uint8Array(), stderr: stderr?.bytes() ?? new Uint8Array() };
}
