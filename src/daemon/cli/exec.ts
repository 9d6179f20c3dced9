/** `troupe exec`: a program in a running container, with this process's input, output and terminal. */
import type { ClientEnd } from '../../cri/streaming/ws-client.ts';
import { realRandom } from '../../host/clock/random.ts';
import { imageFault, runtimeClient } from '../../introspection/image-client.ts';
import { catchInterrupts } from '../programs/interrupts.ts';
import type { Interrupts } from '../programs/interrupts.ts';
import { programOutput } from '../programs/output.ts';
import { runRemote } from '../programs/remote-command.ts';
import type { Command } from './context.ts';
import { CommandError, EXIT } from './exit-codes.ts';
import { containerNamed } from './named-container.ts';

/** The exit code is the program's. With a terminal Ctrl-C reaches the program, else it ends it. */
export async function execProgram(command: Command): Promise<number> {
  const { line, client } = command;
  const [what = '', ...argv] = line.words;
  checkTerminal(command);
  const { id } = await containerNamed(command, what);
  const { socket, configJson } = await client.status({});
  const { url } = await runtimeClient(socket)
    .exec({
      containerId: id,
      cmd: argv,
      stdin: line.flags.has('stdin'),
      stdout: true,
      stderr: !line.flags.has('tty'),
      tty: line.flags.has('tty'),
    })
    .catch((thrown: unknown) => Promise.reject(imageFault(thrown, socket)));
  const interrupts = catchInterrupts();
  try {
    const end = await runRemote(url, remoteParts(command, configJson, interrupts));
    return interrupts.exitCode() ?? exitCodeOf(command, end);
  } catch (thrown) {
    const code = interrupts.exitCode();
    if (code === undefined) throw thrown;
    return code;
  } finally {
    interrupts.stop();
  }
}

/** `-i` and `-t` together need a terminal: without one, keys would be edited and echoed twice, or never arrive. */
export function checkTerminal({ line }: Command): void {
  if (line.flags.has('tty') && line.flags.has('stdin') && !process.stdin.isTTY)
    throw new CommandError(EXIT.usage, `troupe ${line.command}: the input is not a terminal: leave out -t`);
}

/** This process's own streams for a program, by the options `-i` and `-t`. */
function remoteParts(
  { line, clock }: Command,
  configJson: string,
  interrupts: Interrupts,
): Parameters<typeof runRemote>[1] {
  return {
    clock,
    random: realRandom(),
    configJson,
    input: line.flags.has('stdin') ? process.stdin : undefined,
    output: programOutput(process.stdout, process.stderr, () => interrupts.outputLost()),
    terminals: line.flags.has('tty') ? [process.stdout, process.stderr] : [],
    signal: interrupts.signal,
  };
}

function exitCodeOf({ line }: Command, end: ClientEnd): number {
  if (end.kind === 'exited') return end.exitCode;
  if (end.kind === 'lost')
    throw new CommandError(
      EXIT.programFailed,
      `troupe ${line.command}: the connection to the daemon was lost`,
    );
  throw new CommandError(startFailure(end.message), `troupe ${line.command}: ${end.message}`);
}

/** The exit code for a program that could not be started, by what runc, crun and the kernel say; as Docker's. */
export function startFailure(message: string): number {
  if (/permission denied|is a directory|exec format error/iu.test(message)) return EXIT.notExecutable;
  if (/executable file .*not found|no such file or directory/iu.test(message)) return EXIT.programNotFound;
  return EXIT.programFailed;
}
