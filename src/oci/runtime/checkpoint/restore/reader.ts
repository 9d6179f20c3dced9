/** Calls the process that reads archives. */
import { fileURLToPath } from 'node:url';
import type { CheckpointFacts } from '../../../../ports/checkpoint.ts';
import type { ClockPort } from '../../../../ports/clock.ts';
import type { EffectContext } from '../../../../ports/effect.ts';
import { fail, FaultError, printable, toFault } from '../../../../base/fault.ts';
import { checkpointLimits, monitorLimits } from '../../bounds.ts';
import { runTool } from '../../../../host/process/process-tool.ts';
import type { ToolRequest } from '../../../../host/process/process-tool.ts';
import { bootText, fdOf, programFiles } from '../../../../host/program/program-files.ts';
import type { ReaderAnswer, DescribeOrder, ImportOrder, Order } from './protocol.ts';

const NAME = 'checkpoint-reader.js';
/** Its descriptors beside the first three: its program and koffi's library. */
const [PROGRAM_FD, LIBRARY_FD] = [3, 4];

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
  const { argv, extraFds } = readerProgram();
  const on = `the archive ${'archive' in order.source ? order.source.archive : order.source.directory}`;
  fx.note({ on, argv });
  const result = await runTool({
    argv,
    extraFds,
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

/** The program that this daemon was started with, also after a package has put another one in its place. */
function readerProgram(): Required<Pick<ToolRequest, 'argv' | 'extraFds'>> {
  const heap = `--max-old-space-size=${checkpointLimits.readerHeapMiB}`;
  const files = programFiles();
  if (files === undefined) {
    const source = fileURLToPath(new URL('./reader-main.ts', import.meta.url));
    return { argv: [process.execPath, heap, source], extraFds: [] };
  }
  const library = files.fds['koffi.node'];
  const fds = { [NAME]: PROGRAM_FD, ...(library === undefined ? {} : { 'koffi.node': LIBRARY_FD }) };
  const text = bootText(NAME, { ...files, fds });
  return {
    // Node, too, may be another one by now, or gone: the child is still this process's program when it resolves that
    argv: ['/proc/self/exe', heap, '--input-type=commonjs', '--eval', text, NAME],
    extraFds: [
      { childFd: PROGRAM_FD, fd: fdOf(NAME, files) },
      // without it koffi is found by its path, as in the daemon
      ...(library === undefined ? [] : [{ childFd: LIBRARY_FD, fd: library }]),
    ],
  };
}

/** Undefined if the process ended without an answer. */
function parse(text: string): ReaderAnswer | undefined {
  try {
    return JSON.parse(text) as ReaderAnswer;
  } catch {
    return undefined;
  }
}
