/** Runs the commands other than the daemon: from a command line to an exit code. */
import { existsSync } from 'node:fs';
import { toFault } from '../../base/fault.ts';
import { cliLimits } from '../bounds.ts';
import { realClock } from '../../host/clock/clock.ts';
import { introspectionClient, isCallError, problemOf } from '../../introspection/client.ts';
import type { CallProblem } from '../../introspection/client.ts';
import type { CommandLine, CommandName } from '../config/command-line.ts';
import { introspectionSocket } from '../config/config.ts';
import type { Config } from '../config/config-schema.ts';
import { configOf } from './config-of.ts';
import type { Command } from './context.ts';
import { CommandError, EXIT } from './exit-codes.ts';
import { ps } from './ps.ts';
import type { Screen } from './screen.ts';
import { config, status, version } from './status.ts';
import { watch } from './watch.ts';
import { log, why } from './why.ts';

const COMMANDS: Partial<Readonly<Record<CommandName, (command: Command) => Promise<number> | number>>> = {
  ps,
  why,
  log,
  watch,
  status,
  config,
  // loaded on demand: these need much of the daemon's code, and the others must answer at once
  check: async (command) => (await import('./check.ts')).check(command),
  images: async (command) => (await import('./images.ts')).images(command),
  gc: async (command) => (await import('./images.ts')).gc(command),
  pull: async (command) => (await import('./pull.ts')).pull(command),
  import: async (command) => (await import('./import.ts')).importImages(command),
  export: async (command) => (await import('./export.ts')).exportImage(command),
  inspect: async (command) => (await import('./inspect.ts')).inspect(command),
  wipe: async (command) => (await import('./wipe.ts')).wipe(command),
};

const EXIT_OF: Readonly<Record<CallProblem, number>> = {
  unreachable: EXIT.unreachable,
  forbidden: EXIT.failed,
  late: EXIT.failed,
  notFound: EXIT.notFound,
  usage: EXIT.usage,
  overflown: EXIT.failed,
  forgotten: EXIT.failed,
  failed: EXIT.failed,
};

/** Runs one command; an error is one line on stderr. */
export async function runCommand(
  line: CommandLine,
  screen: Screen,
  defaultFile: string,
  signal: AbortSignal,
): Promise<number> {
  const run = COMMANDS[line.command];
  if (line.command === 'version') return version({ screen, json: line.flags.has('json') });
  if (run === undefined) throw new CommandError(EXIT.usage, `troupe ${line.command}: not a command`);
  let socket = '';
  try {
    const json = line.flags.has('json');
    const readConfig = (): Promise<Config> => configOf(line, defaultFile).then(({ config }) => config);
    // with its path given, the configuration is not read
    socket = line.options['introspection'] ?? introspectionSocket(await readConfig());
    const client = introspectionClient(socket, cliLimits.callMs);
    return await run({ line, screen, clock: realClock(), json, socket, client, config: readConfig, signal });
  } catch (thrown) {
    return reportError(thrown, line, screen, socket);
  }
}

function reportError(thrown: unknown, line: CommandLine, screen: Screen, socket: string): number {
  if (thrown instanceof CommandError) {
    screen.note(thrown.message);
    return thrown.exitCode;
  }
  // our own errors, and those of the system while files were read
  if (!isCallError(thrown)) {
    const { kind, message } = toFault(thrown);
    screen.note(`troupe ${line.command}: ${message}`);
    return kind === 'invalidRequest' ? EXIT.usage : kind === 'notFound' ? EXIT.notFound : EXIT.failed;
  }
  const { problem, message } = problemOf(thrown);
  screen.note(`troupe ${line.command}: ${textOf(problem, socket, message)}`);
  return EXIT_OF[problem];
}

/** What an administrator has to know beside the message. */
function textOf(problem: CallProblem, socket: string, message: string): string {
  switch (problem) {
    case 'unreachable':
      return existsSync(socket)
        ? `no daemon answers at ${socket}, where a socket is: ${message}`
        : `no daemon answers at ${socket}, where no socket is: ${message}; another one is named by --introspection or --config`;
    case 'forbidden':
      return `${socket} may not be opened by this user: ${message}`;
    case 'late':
      return `the daemon at ${socket} did not answer within ${cliLimits.callMs / 1000} s`;
    default:
      return message;
  }
}
