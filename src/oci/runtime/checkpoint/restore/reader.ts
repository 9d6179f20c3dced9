/** Calls the process that reads archives. */
import { fileURLToPath } from 'node:url';
import type { CheckpointFacts } from '../../../../ports/checkpoint.ts';
import type { ClockPort } from '../../../../ports/clock.ts';
import type { EffectContext } from '../../../../ports/effect.ts';
import { fail, FaultError, printable, toFault } from '../../../../base/fault.ts';
import { checkpointLimits, monitorLimits } from '../../bounds.ts';
import { runTool } from '../../../../host/process/process-tool.ts';
import type { ReaderAnswer, DescribeOrder, ImportOrder, Order } from './protocol.ts';

export interface ReaderCall {
  readonly attempted: string;
  readonly clock: ClockPort;
  readonly fx: EffectContext;
}

/** What the archive says about its container. */
export async function describeArchive(order: DescribeOrder, call: ReaderCall): Promise<CheckpointFacts> {
  const answer = await ask(order, call);
  return 'facts' in answer
    ? answer.facts
    : fail('bug', `${call.attempted}: unexpected answer of the archive's reader`);
}

/** Imports the archive. */
export async function importArchive(order: ImportOrder, call: ReaderCall): Promise<void> {
  await ask(order, call);
}

async function ask(
  order: Order,
  { attempted, clock, fx }: ReaderCall,
): Promise<Exclude<ReaderAnswer, { readonly fault: unknown }>> {
  // beside this file, or beside the bundled program
  const program = fileURLToPath(
    new URL(import.meta.url.endsWith('.ts') ? './reader-main.ts' : './checkpoint-reader.js', import.meta.url),
  );
  const argv = [process.execPath, `--max-old-space-size=${checkpointLimits.readerHeapMiB}`, program];
  const on = `the archive ${'archive' in order.source ? order.source.archive : order.source.directory}`;
  fx.note({ on, argv });
  const result = await runTool({
    argv,
    stdin: Buffer.from(JSON.stringify(order)),
    timeoutMs: fx.timeoutMs,
    signal: fx.signal,
    clock,
    outputBytesMax: checkpointLimits.answerBytes,
    onSpawn: (pid) => fx.note({ on, argv, pid }),
  });
  if (result.timedOut) return fail('timedOut', `${attempted}: ${on}: timed out after ${fx.timeoutMs} ms`);
  const answer = parse(Buffer.from(result.stdout).toString('utf8'));
  if (answer === undefined) {
    const said =
      printable(Buffer.from(result.stderr).toString('utf8').slice(0, monitorLimits.quotedChars)) ||
      'no error message';
    return fail(
      'outside',
      `${attempted}: ${on}: the reader ended with ${result.exitCode === null ? `signal ${result.signal}` : `exit code ${result.exitCode}`}: ${said}`,
      { quotesOutput: true },
    );
  }
  if ('fault' in answer) throw new FaultError(toFault(new FaultError(answer.fault), attempted));
  return answer;
}

/** Undefined if the process ended without an answer. */
function parse(text: string): ReaderAnswer | undefined {
  try {
    return JSON.parse(text) as ReaderAnswer;
  } catch {
    return undefined;
  }
}
