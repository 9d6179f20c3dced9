/** ExecSync in a shim; the output is bounded as in exec/exec.ts. */
import type { EffectContext } from '../../../ports/effect.ts';
import type { ExecResult } from '../../../ports/runtime.ts';
import { fail } from '../../../base/fault.ts';
import { driverLimits } from '../bounds.ts';
import { ExecDeadline } from '../exec/deadline.ts';
import type { ExecInput } from '../exec/exec.ts';
import { CappedOutput, drained, takeBoth } from '../exec/output.ts';
import { withOutputSlot } from '../exec/output-budget.ts';
import type { OutputSlot } from '../exec/output-budget.ts';
import type { ShimParts } from './containers.ts';
import { runExec } from './exec.ts';
import { readFifo } from './fifo.ts';

/** See `RuntimePort.execSync`. */
export function execSyncTask(shim: ShimParts, input: ExecInput, fx: EffectContext): Promise<ExecResult> {
  return withOutputSlot(input, shim.parts.log, (slot) => toEnd(shim, input, slot, fx));
}

async function toEnd(
  shim: ShimParts,
  input: ExecInput,
  slot: OutputSlot,
  fx: EffectContext,
): Promise<ExecResult> {
  const { clock } = shim.parts;
  const outputs: CappedOutput[] = [];
  const deadline = new ExecDeadline({ clock, id: input.id, fx, limitMs: input.execTimeoutMs });
  const exitCode = await runExec(
    shim,
    {
      input,
      terminal: {},
      stdio: { stdin: false, stdout: true, stderr: true },
      deadline,
      open: ({ stdout, stderr }) => {
        for (const path of [stdout, stderr])
          outputs.push(new CappedOutput(readFifo(path), driverLimits.execOutputBytes, slot));
      },
      drained: () => drained(outputs, slot, clock, (granted) => deadline.bounded(granted)),
      close: () => {
        for (const output of outputs) output.close();
      },
    },
    fx,
  );
  const [stdout, stderr] = outputs;
  if (stdout === undefined || stderr === undefined)
    return fail('bug', `exec in container ${input.id}: outputs were not opened`, { subject: input.id });
  return { exitCode, ...takeBoth(stdout, stderr, slot) };
}
