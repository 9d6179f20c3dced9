/**
 * Execs over the simulated kernel: the few commands that the conformance suite knows; whatever else ends with 0 at
 * once.
 */
import type { EffectContext } from '../../src/ports/effect.ts';
import type { ExecResult, RuntimePort } from '../../src/ports/runtime.ts';
import { fail, fault, FaultError } from '../../src/base/fault.ts';
import { EXECS } from '../conformance/runtime-stage.ts';
import type { Kernel } from './kernel.ts';
import type { Outside } from './outside.ts';

type ExecInput = Parameters<RuntimePort['execSync']>[0];

const KILLED = 137;

const is = (argv: readonly string[], other: readonly string[]): boolean =>
  argv.join('\0') === other.join('\0');

/** `execSync` in the life `epoch`. */
export function execTwin(kernel: Kernel, outside: Outside, epoch: number): RuntimePort['execSync'] {
  const call = outside.life(epoch);
  return async (input, fx) => {
    const { id, argv, init } = input;
    const begin = (): void => {
      if (argv.length === 0)
        fail('invalidRequest', `exec in container ${id}: cmd: must not be empty`, { subject: id });
      if (!kernel.lives(init))
        fail('wrongState', `exec in container ${id}: it does not run`, { subject: id });
      if (is(argv, EXECS.absent))
        fail('outside', `exec in container ${id}: runc exec: no such program`, { subject: id });
    };
    const result = await call('runtime.execSync', fx, [begin], () => resultOf(argv));
    return is(argv, EXECS.hangs) ? hang(kernel, outside, epoch, input, fx) : result;
  };
}

function resultOf(argv: readonly string[], exitCode = is(argv, EXECS.five) ? 5 : 0): ExecResult {
  const says = is(argv, EXECS.says);
  const bytes = (text: string): Uint8Array => new TextEncoder().encode(says ? text : '');
  return { exitCode, stdout: bytes('out\n'), stderr: bytes('err\n') };
}

/** Until the bound, the abort, or the end of the container, which takes the process with it. */
function hang(
  kernel: Kernel,
  { scheduler }: Outside,
  epoch: number,
  { id, argv, execTimeoutMs }: ExecInput,
  fx: EffectContext,
): Promise<ExecResult> {
  const boundMs = execTimeoutMs > 0 ? Math.min(execTimeoutMs, fx.timeoutMs) : fx.timeoutMs;
  return new Promise<ExecResult>((resolve, reject) => {
    const end = (act: () => void): void => {
      cancel();
      forget();
      fx.signal.removeEventListener('abort', onAbort);
      scheduler.add(epoch, 'runtime.execSync ends', act);
    };
    const refuse = (kind: 'timedOut' | 'cancelled') => (): void =>
      end(() =>
        reject(new FaultError(fault(kind, `exec in container ${id}: it has not ended`, { subject: id }))),
      );
    const onAbort = refuse('cancelled');
    const cancel = scheduler.after(epoch, boundMs, refuse('timedOut'));
    const forget = kernel.onInitEnd(id, () => end(() => resolve(resultOf(argv, KILLED))));
    fx.signal.addEventListener('abort', onAbort, { once: true });
  });
}
